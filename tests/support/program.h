#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace kernels::test {

/// How a run of a program ended and what it printed.
struct Outcome {
  int status = -1;  ///< exit status; 128 + N after signal N
  std::string out;
  std::string err;
  bool dumped_core = false;
  long peak_kib = 0;  ///< most memory that it held at a time, with `measure_memory`
};

struct RunOptions {
  std::filesystem::path folder = ".";
  /// Replaces the environment; PATH and HOME are kept.
  std::map<std::string, std::string> environment = {};
  /// Sends `signal` after this time; 0: never. The run as a whole is killed after a minute in any case.
  std::chrono::milliseconds signal_after{0};
  int signal = 15;
  bool measure_memory = false;  ///< not together with a signal
  bool allow_core = false;      ///< let the system write a core dump
  /// Called with the process's number as soon as it runs; what it prints is read afterwards.
  std::function<void(int)> meanwhile = {};
};

/// Runs a program and waits for it. The first argument is the program.
Outcome run_program(const std::vector<std::string>& arguments, const RunOptions& options = {});

}  // namespace kernels::test
