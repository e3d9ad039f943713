#include "kernels/base/error.h"

#include <cerrno>
#include <system_error>

namespace kernels {

std::unexpected<Error> fail(Errc code, std::string text) {
  return std::unexpected(Error(code, std::move(text)));
}

std::unexpected<Error> fail(Error error) {
  return std::unexpected(std::move(error));
}

static std::string hint_for(int errno_value) {
  switch (errno_value) {
    case ENOSPC:
    case EDQUOT:
      return "free some space, or choose another cache folder with `HF_HUB_CACHE`";
    case EACCES:
    case EPERM:
      return "check the owner and the permissions of the folder";
    case EROFS:
      return "the file system is read-only; choose another cache folder with `HF_HUB_CACHE`";
    default:
      return {};
  }
}

Error system_error(const std::string& action, const std::string& path, int errno_value) {
  auto reason = std::generic_category().message(errno_value);
  return Error(Errc::io, "cannot " + action + " `" + path + "`: " + reason).with_hint(hint_for(errno_value));
}

std::string describe(const Error& error) {
  std::string out = error.text();
  for (const auto& step : error.steps())
    out += "\n  while " + step;
  return out;
}

}  // namespace kernels
