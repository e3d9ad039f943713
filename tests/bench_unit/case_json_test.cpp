#include <cmath>

#include <fcntl.h>
#include <unistd.h>

#include "kernels/bench/case.h"

#include "frame.h"
#include "support/catch.h"

using namespace kernels;
using namespace kernels::bench;

TEST_CASE("case: a request survives the way through JSON", "[bench]") {
  CaseRequest request;
  request.library = "/a/b.so";
  request.provider = "/p.so";
  request.device = runtime::DeviceKind::cuda;
  request.device_index = 3;
  request.function.name = "f";
  request.function.reference = "g";
  request.function.independent = "rows";
  request.function.arguments = {{"out", {}, Access::read_write, {{2, {"rows", "cols"}}}},
                                {"eps", 1e-6, {}, {}}};
  request.function.tolerance[DType::bfloat16] = {0.5, 0.25};
  request.dtype = DType::bfloat16;
  request.checks = {{{"rows", 1}}, {{"rows", 2}, {"cols", 1LL << 40}}};
  request.timed = Sizes{{"rows", 7}};
  request.seed = 0xffffffffffffffffULL;
  request.budget_seconds = 0.25;
  const auto copy = decode_request(encode(request));
  if (!copy) FAIL(describe(copy.error()));
  CHECK(encode(*copy) == encode(request));
  CHECK(copy->seed == request.seed);
  CHECK(copy->function.arguments[0].shape[0].names == std::vector<std::string>{"rows", "cols"});
  CHECK(copy->function.arguments[1].value == 1e-6);
  CHECK(copy->timed == request.timed);
}

TEST_CASE("case: a result survives, with infinities and texts that are no UTF-8", "[bench]") {
  CaseResult result;
  result.verdict = Verdict::timed_out;
  result.reason = "bytes \xff\xfe";
  result.max_error = HUGE_VAL;
  result.timing = Timing{};
  result.timing->samples = {1.5, 2.5};
  result.timing->kernel.median = 2;
  const auto copy = decode_result(encode(result));
  if (!copy) FAIL(describe(copy.error()));
  CHECK(copy->verdict == Verdict::timed_out);
  CHECK(copy->max_error == HUGE_VAL);
  CHECK(copy->timing->samples == std::vector<double>{1.5, 2.5});
  for (const char* text : {"", "{", "[]", "{\"verdict\": 1}", "null"}) {
    CHECK_FALSE(decode_result(text));
    CHECK_FALSE(decode_request(text));
  }
}

TEST_CASE("frame: pieces of any size are put together, lies about the length refused", "[bench]") {
  int fds[2];
  REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
  REQUIRE(write_frame(fds[1], "hello"));
  REQUIRE(write_frame(fds[1], ""));
  close(fds[1]);
  std::string bytes(64, '\0');
  const auto got = read(fds[0], bytes.data(), bytes.size());
  close(fds[0]);
  REQUIRE(got == 13);
  FrameReader reader;
  std::vector<std::string> frames;
  for (int i = 0; i < 13; ++i) {
    reader.append(std::string_view(bytes).substr(static_cast<std::size_t>(i), 1));
    auto frame = reader.next();
    REQUIRE(frame);
    if (*frame) frames.push_back(**frame);
  }
  CHECK(frames == std::vector<std::string>{"hello", ""});
  FrameReader lies;
  lies.append("\xff\xff\xff\xff");
  CHECK_FALSE(lies.next());
}
