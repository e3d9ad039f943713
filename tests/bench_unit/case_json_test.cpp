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
                                {"eps", 1e-6, {}, {}},
                                {.name = "codes",
                                 .value = {},
                                 .access = Access::write,
                                 .shape = {{1, {"rows"}}},
                                 .dtype = DType::float8_e4m3fn,
                                 .tolerance = Tolerance{0.125, 0.5}},
                                {.name = "places",
                                 .value = {},
                                 .access = Access::read,
                                 .shape = {{1, {"rows"}}},
                                 .dtype = DType::int64,
                                 .below = SizeProduct{2, {"cols"}},
                                 .moved = {{3, {"rows"}}, {1, {}}}}};
  request.function.tolerance[DType::bfloat16] = {0.5, 0.25};
  request.dtype = DType::bfloat16;
  request.checks = {{{"rows", 1}}, {{"rows", 2}, {"cols", 1LL << 40}}};
  request.timed = Sizes{{"rows", 7}};
  request.seed = 0xffffffffffffffffULL;
  request.processor = 5;
  const auto copy = decode_request(encode(request));
  if (!copy) FAIL(describe(copy.error()));
  CHECK(encode(*copy) == encode(request));
  CHECK(copy->seed == request.seed);
  CHECK(copy->processor == 5U);
  CHECK(copy->function.arguments[0].shape[0].names == std::vector<std::string>{"rows", "cols"});
  CHECK(copy->function.arguments[1].value == 1e-6);
  CHECK(copy->timed == request.timed);
  const auto& codes = copy->function.arguments[2];
  CHECK(codes.dtype == DType::float8_e4m3fn);
  CHECK(codes.tolerance == Tolerance{0.125, 0.5});
  CHECK_FALSE(codes.below);
  const auto& places = copy->function.arguments[3];
  CHECK(places.dtype == DType::int64);
  REQUIRE(places.below);
  CHECK(places.below->factor == 2);
  CHECK(places.below->names == std::vector<std::string>{"cols"});
  REQUIRE(places.moved.size() == 2);
  CHECK(places.moved[0].factor == 3);
  CHECK_FALSE(places.tolerance);
}

TEST_CASE("case: an answer survives, with infinities and texts that are no UTF-8", "[bench]") {
  CaseAnswer answer;
  answer.result.verdict = Verdict::timed_out;
  answer.result.reason = "bytes \xff\xfe";
  answer.result.numerics.max_error = HUGE_VAL;
  answer.result.probe.faults = {"waits for the device inside"};
  answer.device = {.kind = "cuda", .index = 2, .name = "H100"};
  answer.plan = Timing{};
  answer.plan->bytes = 17;
  answer.plan->method = "cold";
  answer.plan->limit_method = "a stream";
  answer.plan->series[SeriesKind::cold];
  answer.plan->series[SeriesKind::warm_limit];
  answer.processor = 3;
  const auto copy = decode_answer(encode(answer));
  if (!copy) FAIL(describe(copy.error()));
  CHECK(copy->result.verdict == Verdict::timed_out);
  CHECK(copy->processor == 3U);
  CHECK(copy->result.reason.starts_with("bytes "));
  CHECK(copy->result.numerics.max_error == HUGE_VAL);
  CHECK(copy->result.probe == answer.result.probe);
  CHECK(copy->device == answer.device);
  CHECK(copy->plan == answer.plan);
  for (const char* text : {"", "{", "[]", "{\"verdict\": 1}", "null"}) {
    CHECK_FALSE(decode_answer(text));
    CHECK_FALSE(decode_batch(text));
    CHECK_FALSE(decode_result(text));
    CHECK_FALSE(decode_request(text));
  }
}

TEST_CASE("case: a batch of samples survives, and one with a time that is none is refused", "[bench]") {
  SampleBatch batch{.samples = {{SeriesKind::cold, {1.5, 2.25}}, {SeriesKind::floor, {0}}},
                    .conditions = {.clock_mhz = Range{1, 2}, .other_processes = 3},
                    .disturbed = "preempted"};
  const auto copy = decode_batch(encode(batch));
  if (!copy) FAIL(describe(copy.error()));
  CHECK(copy->samples == batch.samples);
  CHECK(copy->conditions == batch.conditions);
  CHECK(copy->disturbed == "preempted");
  for (double wrong : {-1.0, HUGE_VAL, 1e300}) {
    batch.samples[SeriesKind::cold] = {wrong};
    CHECK_FALSE(decode_batch(encode(batch)));
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
