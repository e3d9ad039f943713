#include "kernels/base/error.h"

#include <cerrno>

#include "support/catch.h"

using namespace kernels;

TEST_CASE("error: steps go from the inside out, below the text", "[base]") {
  auto error = Error(Errc::corrupt, "bad").while_doing("reading `x`").while_doing("locking `y`");
  CHECK(describe(error) == "bad\n  while reading `x`\n  while locking `y`");
}

TEST_CASE("error: the hint that was set first, nearest to the cause, stays", "[base]") {
  auto error = Error(Errc::corrupt, "bad").with_hint("").with_hint("inner").with_hint("outer");
  CHECK(error.hint() == "inner");
}

TEST_CASE("error: seen from further out only the code changes", "[base]") {
  auto error = Error(Errc::corrupt, "bad").while_doing("a").with_hint("h").as(Errc::invalid_argument);
  CHECK(error.code() == Errc::invalid_argument);
  CHECK(describe(error) == "bad\n  while a");
  CHECK(error.hint() == "h");
}

TEST_CASE("error: a failed system call names the action, the path and the reason", "[base]") {
  auto error = system_error("write", "/x/y", ENOSPC);
  CHECK(error.code() == Errc::io);
  CHECK(error.text() == "cannot write `/x/y`: No space left on device");
  CHECK(error.hint().find("HF_HUB_CACHE") != std::string::npos);
  CHECK_FALSE(system_error("write", "/x", EACCES).hint().empty());
  CHECK_FALSE(system_error("write", "/x", EROFS).hint().empty());
  CHECK(system_error("write", "/x", EIO).hint().empty());
}
