#include "kernels/base/secret.h"

#include <concepts>
#include <cstdlib>
#include <functional>
#include <ostream>

#include "kernels/base/log.h"

#include "support/catch.h"

using namespace kernels;

template <class T>
concept Printable = requires(std::ostream& out, const T& value) { out << value; };

TEST_CASE("secret: it has no way into a stream", "[base]") {
  STATIC_REQUIRE_FALSE(Printable<Secret>);
  STATIC_REQUIRE_FALSE(std::convertible_to<Secret, std::string>);
  CHECK(Secret("hf_x").reveal() == "hf_x");
  CHECK(Secret().empty());
}

template <class T>
concept Hashable = requires(const T& value) { std::hash<T>{}(value); };

TEST_CASE("secret: it shows as four stars, has no hash, and leaves nothing behind when it moves", "[base]") {
  STATIC_REQUIRE_FALSE(Hashable<Secret>);
  Secret from("hf_x");  // short enough to lie inside the object
  CHECK(to_string(from) == "****");
  CHECK(to_string(Secret()) == "****");
#ifdef __cpp_lib_format
  CHECK(std::format("{}", from) == "****");
#endif
  Secret to(std::move(from));
  std::string_view bytes(reinterpret_cast<const char*>(&from),
                         sizeof(from));  // NOLINT(bugprone-use-after-move)
  CHECK(bytes.find("hf_x") == std::string_view::npos);
  CHECK(to.reveal() == "hf_x");
  to = Secret("hf_y");
  CHECK(to.reveal() == "hf_y");
}

TEST_CASE("secret: a child's environment holds no token", "[base]") {
  ::setenv("HF_TOKEN", "hf_canary", 1);
  ::setenv("HUGGING_FACE_HUB_TOKEN", "hf_canary", 1);
  ::setenv("KERNELS_SERVE_TOKEN", "hf_canary", 1);
  ::setenv("HF_TOKENS_ARE_FINE", "1", 1);
  auto left = environment_without_tokens();
  for (const char* name : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "KERNELS_SERVE_TOKEN"})
    ::unsetenv(name);
  bool kept = false;
  for (const auto& entry : left) {
    CHECK(entry.find("hf_canary") == std::string::npos);
    kept |= entry == "HF_TOKENS_ARE_FINE=1";
  }
  CHECK(kept);
}

namespace {
std::string g_heard;  // a sink is a plain function
}  // namespace

TEST_CASE("log: what is below the threshold is dropped, and so is everything without a sink", "[base]") {
  g_heard.clear();
  set_log_sink([](LogLevel, std::string_view text) { g_heard += text; }, LogLevel::info);
  CHECK_FALSE(log_enabled(LogLevel::debug));
  log(LogLevel::debug, "a");
  log(LogLevel::info, "b");
  set_log_sink(nullptr, LogLevel::debug);
  log(LogLevel::info, "c");
  CHECK(g_heard == "b");
  CHECK_FALSE(log_enabled(LogLevel::info));
}
