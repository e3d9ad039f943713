#include <csignal>

#include <nlohmann/json.hpp>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "kernels/bench/worker.h"

#include "frame.h"

namespace kernels::bench {
namespace {

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

namespace {

/// A parent that is gone has killed this process already, or will at once.
void answer(const std::string& payload) {
  if (auto sent = write_frame(kAnswerDescriptor, payload); !sent) _exit(1);
}

/// Samples as often as it is asked to; returns at the end of the requests, or of the case.
void serve(Case& running) {
  for (auto frame = read_frame(kMoreDescriptor); frame && *frame; frame = read_frame(kMoreDescriptor)) {
    const auto request = nlohmann::json::parse(**frame, nullptr, false);
    if (!request.is_object() || !request.contains("sample") || !request["sample"].is_number_unsigned())
      return;
    auto batch = running.sample(request["sample"].get<std::uint32_t>());
    if (!batch) return answer("{\"result\":" + encode(batch.error()) + "}");
    answer("{\"samples\":" + encode(*batch) + "}");
  }
}

}  // namespace

int worker_main(pid_t parent) {
  if (!settle(parent)) return 1;
  auto frame = read_frame(kRequestDescriptor);
  if (!frame || !*frame) return 1;
  auto request = decode_request(**frame);
  if (!request) return 1;
  Case running(std::move(*request),
               [](const CaseStep& step) { answer(nlohmann::json{{"step", step.text}}.dump()); });
  const auto prepared = running.prepare();
  answer("{\"answer\":" + encode(prepared) + "}");
  if (prepared.plan) serve(running);
  // Destructors of kernel libraries are none of our business, and may hang.
  _exit(0);
}

}  // namespace kernels::bench
