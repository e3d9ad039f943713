#include "kernels/base/secret.h"

#include <concepts>
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
