#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "kernels/base/error.h"
#include "kernels/model/event.h"

namespace kernels::app {

enum class Verbosity { quiet, normal, verbose, debug };

/// The only writer to the terminal. Which channel is open when:
///
/// |               | quiet | normal        | verbose | debug |
/// | result        | yes   | yes           | yes     | yes   |  stdout
/// | status        |       | yes           | yes     | yes   |  stderr
/// | progress      |       | on a terminal | same    |       |  stderr
/// | warning       | yes   | yes           | yes     | yes   |  stderr
/// | error, hint   | yes   | yes           | yes     | yes   |  stderr
/// | diagnostics   |       |               | info    | all   |  stderr, spdlog
class Reporter {
 public:
  explicit Reporter(Verbosity verbosity);
  Reporter(const Reporter&) = delete;
  Reporter& operator=(const Reporter&) = delete;
  ~Reporter() { clear_progress(); }

  /// Result data, to stdout. A reader that went away ends the program quietly.
  void result(std::string_view text);
  void status(std::string_view text);
  void warning(std::string_view text);
  void error(const Error& error);
  void handle(const Event& event);
  void clear_progress();

 private:
  void write_error(std::string_view text);
  std::string paint(std::string_view color, std::string_view text) const;
  void show(const Progress& progress);
  Verbosity verbosity_;
  bool terminal_ = false;
  bool colors_ = false;
  bool progress_shown_ = false;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

/// Sends the library's diagnostics to stderr through spdlog, from the level that the verbosity asks for.
void connect_diagnostics(Verbosity verbosity);

}  // namespace kernels::app
