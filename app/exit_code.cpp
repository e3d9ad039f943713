#include "exit_code.h"

namespace kernels::app {

ExitCode exit_code_of(Errc code) {
  switch (code) {
    case Errc::invalid_argument:
    case Errc::unsupported:
      return ExitCode::usage;
    case Errc::not_found:
    case Errc::no_match:
      return ExitCode::no;
    case Errc::network:
    case Errc::access_denied:
    case Errc::corrupt:
      return ExitCode::network;
    case Errc::untrusted:
    case Errc::integrity:
      return ExitCode::integrity;
    case Errc::io:
      return ExitCode::machine;
    case Errc::interrupted:
      return ExitCode::interrupted;
  }
  return ExitCode::machine;
}

}  // namespace kernels::app
