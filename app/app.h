#pragma once

#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "kernels/base/error.h"
#include "kernels/cache/layout.h"
#include "kernels/hub/settings.h"
#include "kernels/machine/detect.h"
#include "kernels/model/event.h"

#include "exit_code.h"
#include "reporter.h"

namespace kernels::app {

/// The flags that every command takes.
struct GlobalOptions {
  bool quiet = false;
  int verbose = 0;
  bool offline = false;
  std::optional<std::string> cache;
  std::optional<std::string> endpoint;
};

/// What commands share: settings, the terminal, a way to be stopped. Made once, after parsing.
class App {
 public:
  explicit App(GlobalOptions options);
  App(const App&) = delete;
  App& operator=(const App&) = delete;
  ~App();

  Reporter& out() { return reporter_; }
  /// Flag before environment before default. Errors as of `hub::read_settings`.
  /// From the moment in which it finds a token, the process leaves no core dump.
  Result<hub::Settings> settings() const;
  /// This machine; found out once.
  const machine::Detected& machine();
  /// From now on with this interpreter or environment in place of the active one.
  void use_python(const std::string& python);
  EventSink events();
  /// Set by the first Ctrl-C or SIGTERM; a second one ends the program at once.
  std::stop_token stop_token();
  std::string user_agent() const;

  /// Shows the error and gives the status to end with.
  ExitCode fail(const Error& error);

 private:
  struct Signals;
  GlobalOptions options_;
  Reporter reporter_;
  std::optional<machine::Detected> machine_;
  std::unique_ptr<Signals> signals_;
};

}  // namespace kernels::app
