#pragma once

#include <chrono>
#include <filesystem>
#include <stop_token>

#include <sys/types.h>

#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "kernels/bench/case.h"

// The process boundary around other people's machine code.
//
//   parent → worker   one frame: a CaseRequest                       (descriptor 3 of the worker)
//   worker → parent   frames: {"step": text}*, then {"result": …}    (descriptor 4)
//   frame             length, 4 bytes, little-endian; then that many bytes of JSON, at most 16 MiB
//   standard output and error of the worker go to the parent, which keeps the end for the reason of a crash.

namespace kernels::bench {

/// What a worker's `main` calls. Reads the request from descriptor 3, answers on 4, returns the exit status.
/// `parent` is the process that must live; the worker dies with it.
int worker_main(pid_t parent);

struct WorkerOptions {
  std::filesystem::path program;  ///< kernels-worker
  std::chrono::milliseconds time_limit{60'000};
};

/// Runs one case in a fresh process and waits for its end. Whatever happens to the worker is a CaseResult: a
/// crash, an exit without an answer, the time limit, a kill for lack of memory. No process is left behind,
/// neither here nor when this process dies. Errors  io: the program cannot be started; interrupted: `stop`
/// was requested.
Result<CaseResult> run_in_worker(const CaseRequest& request, const WorkerOptions& options,
                                 const StepSink& on_step, std::stop_token stop);

}  // namespace kernels::bench
