#include <csignal>

#include <nlohmann/json.hpp>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "kernels/bench/worker.h"

#include "frame.h"

namespace kernels::bench {
namespace {

constexpr int kRequest = 3;
constexpr int kAnswer = 4;

/// Dies with the parent, leaves no core file, and does not die of a pipe that nobody reads.
bool settle(pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  std::signal(SIGPIPE, SIG_IGN);
  // The parent may have died before the first line.
  return getppid() == parent;
}

}  // namespace

int worker_main(pid_t parent) {
  if (!settle(parent)) return 1;
  auto frame = read_frame(kRequest);
  if (!frame || !*frame) return 1;
  auto request = decode_request(**frame);
  CaseResult result;
  if (request) {
    result = run_case(*request, [](const CaseStep& step) {
      (void)write_frame(kAnswer, nlohmann::json{{"step", step.text}}.dump());
    });
  } else {
    result.reason = describe(request.error());
  }
  const auto sent = write_frame(kAnswer, "{\"result\":" + encode(result) + "}");
  // Destructors of kernel libraries are none of our business, and may hang.
  _exit(sent ? 0 : 1);
}

}  // namespace kernels::bench
