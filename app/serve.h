#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app.h"

namespace kernels::app {

/// What was written after `kernels serve`.
struct ServeLine {
  std::optional<std::string> cache;
  std::string host = "127.0.0.1";
  int port = 8000;
  std::vector<std::string> trusted;
  std::optional<std::string> token_file;
  std::optional<std::string> port_file;
  bool redirects = false;
};

/// Serves until the program is told to stop. `kernels` has one definition, which becomes the program
/// `kernels-serve`; that program has the other. The HTTP library and what it brings take longer to load than
/// most commands to run, and every start would pay for them.
ExitCode run_serve(const ServeLine& line, App& app);

}  // namespace kernels::app
