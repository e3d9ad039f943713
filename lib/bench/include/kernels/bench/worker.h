#pragma once

#include <chrono>
#include <expected>
#include <filesystem>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "kernels/bench/case.h"

// The process boundary around other people's machine code.
//
//   parent → worker   descriptor 3, a file in memory: one frame, the CaseRequest
//                     descriptor 5, a socket: frames {"sample": count}; its end is the worker's
//   worker → parent   descriptor 4, a pipe: frames {"step": text}*, then {"answer": …}; for each request for
//   samples
//                     {"step": …}*, then {"samples": …} or {"result": …}, which is the last
//   frame             length, 4 bytes, little-endian; then that many bytes of JSON, at most 16 MiB
//   A Python interpreter in the worker's place (see `python_runner.h`) speaks the same; its request and what
//   it answers to a request for a listing are other JSON, and kernels-worker stands between: it stays, to end
//   everything that a script has started.
//   standard output and error of the worker go to the parent, which keeps the end for the reason of a crash.

namespace kernels::bench {

/// What a worker's `main` calls. Sets the case up, samples it as often as it is asked to, returns the exit
/// status. `parent` is the process that must live; the worker dies with it.
int worker_main(pid_t parent);

/// The same for a Python interpreter: starts it with our driver, ends with its status, and leaves no process
/// behind that it or its children have started, whatever their groups and sessions.
int interpreter_main(pid_t parent, const char* interpreter);

/// What `interpreter_main` starts, and with what.
struct InterpreterRequest {
  std::string interpreter;
  std::string payload;  ///< JSON of the first frame
  /// Set beside, or in place of, those of this process.
  std::vector<std::pair<std::string, std::string>> environment;
};

struct WorkerOptions {
  std::filesystem::path program;  ///< kernels-worker
  /// For setting the case up, and for each request for samples.
  std::chrono::milliseconds time_limit{60'000};
};

/// One case in a process of its own. Whatever happens to that process is a CaseResult: a crash, an exit
/// without an answer, the time limit, a kill for lack of memory. No process is left behind, neither when this
/// goes nor when this process dies. Threads  not for two at once; several sessions may be used in turn.
class WorkerSession {
 public:
  /// Errors  io: the program cannot be started.
  static Result<WorkerSession> start(const CaseRequest& request, const WorkerOptions& options);
  /// The same with an interpreter. Errors  as above.
  static Result<WorkerSession> start(const InterpreterRequest& request, const WorkerOptions& options);
  WorkerSession(WorkerSession&&) noexcept;
  WorkerSession& operator=(WorkerSession&&) = delete;
  ~WorkerSession();

  /// Waits for the listing that an interpreter was asked for: its JSON, or how it ended. Errors  interrupted.
  Result<std::expected<std::string, CaseResult>> list(const StepSink& on_step, const std::stop_token& stop);
  /// Waits until the case is set up, or has ended. Errors  interrupted.
  Result<CaseAnswer> prepare(const StepSink& on_step, const std::stop_token& stop);
  /// After an answer with a plan. The unexpected result says how the case ended. Errors  interrupted.
  Result<Sampled> sample(std::uint32_t count, const std::stop_token& stop);

 private:
  class Impl;
  explicit WorkerSession(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// When sampling ends.
struct StoppingRule {
  /// Stop when the interval of the median of `cold` is this narrow, as a share of the median.
  double precision = 0.0025;
  double budget_seconds = 1;
  std::size_t least = 12;     ///< samples, whatever the precision
  std::size_t most = 20'000;  ///< samples
};

/// What is measured together: each answer with its session, which is none once the case has ended.
struct Candidate {
  CaseAnswer answer;
  std::optional<WorkerSession> session;
  double spent_seconds = 0;
  std::map<SeriesKind, Series> disturbed = {};  ///< samples that count only if there are no others
};

/// Samples all candidates that are set up in turns, some samples of each at a time, until each is measured as
/// the rule says. They see the same clocks and temperatures that way. Errors  interrupted.
Status sample_in_turns(std::span<Candidate> candidates, const StoppingRule& rule, const StepSink& on_step,
                       const std::stop_token& stop);

/// One case from its start to its end. Errors  io, interrupted.
Result<CaseAnswer> run_in_worker(const CaseRequest& request, const WorkerOptions& options,
                                 const StoppingRule& rule, const StepSink& on_step,
                                 const std::stop_token& stop);

}  // namespace kernels::bench
