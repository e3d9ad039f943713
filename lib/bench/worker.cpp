#include "kernels/bench/worker.h"

#include <array>
#include <csignal>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/base/secret.h"

#include "frame.h"

namespace kernels::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kTailBytes = 2000;

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Result<Pipe> make_pipe() {
  std::array<int, 2> fds{};
  if (pipe2(fds.data(), O_CLOEXEC) != 0) return fail(system_error("make", "a pipe", errno));
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

/// The worker process: killed and reaped when this object goes, whatever happened before.
class WorkerProcess {
 public:
  explicit WorkerProcess(pid_t pid) : pid_(pid) {}
  WorkerProcess(WorkerProcess&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  WorkerProcess& operator=(WorkerProcess&&) = delete;
  ~WorkerProcess() {
    if (pid_ > 0) end();
  }

  /// Waits until the process has ended by itself; it stays a zombie, so that its group cannot be another's.
  bool ended_by(Clock::time_point deadline) const {
    constexpr std::chrono::milliseconds kPause{2};
    for (;;) {
      siginfo_t info{};
      if (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
          info.si_pid == pid_)
        return true;
      if (Clock::now() >= deadline) return false;
      std::this_thread::sleep_for(kPause);
    }
  }

  /// Kills the worker with all it has started, and returns how it ended.
  int end() {
    // Its own process group: what a kernel forked goes too. The worker alone, if that group is not there yet.
    kill(-pid_, SIGKILL);
    kill(pid_, SIGKILL);
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return status;
  }

 private:
  pid_t pid_;
};

struct Running {
  WorkerProcess process;
  UniqueFd answer;
  UniqueFd output;
};

/// posix_spawn's attributes and actions, released together.
struct SpawnSetup {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  SpawnSetup() {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;
  ~SpawnSetup() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
};

/// Moves a descriptor above those that the worker expects, so that the copies below cannot overwrite one
/// another.
Status lift(UniqueFd& fd) {
  constexpr int kFirstFree = 10;
  const int lifted = fcntl(fd.get(), F_DUPFD_CLOEXEC, kFirstFree);
  if (lifted < 0) return fail(system_error("copy", "a pipe", errno));
  fd.reset(lifted);
  return {};
}

/// The request as an open file in memory: unlike a pipe it neither blocks nor kills the writer when the
/// worker is gone before it has read.
Result<UniqueFd> request_file(const CaseRequest& request) {
  UniqueFd file(memfd_create("request", MFD_CLOEXEC));
  if (!file) return fail(system_error("make", "a file in memory", errno));
  if (auto written = write_frame(file.get(), encode(request)); !written)
    return std::unexpected(std::move(written).error());
  if (lseek(file.get(), 0, SEEK_SET) != 0) return fail(system_error("rewind", "a file in memory", errno));
  return file;
}

Result<Running> start(const CaseRequest& request, const WorkerOptions& options) {
  auto asked = request_file(request);
  if (!asked) return std::unexpected(std::move(asked).error());
  auto answer = make_pipe();
  auto output = make_pipe();
  if (!answer || !output) return std::unexpected(!answer ? answer.error() : output.error());
  for (UniqueFd* fd : {&*asked, &answer->write, &output->write})
    if (auto lifted = lift(*fd); !lifted) return std::unexpected(std::move(lifted).error());
  SpawnSetup setup;
  posix_spawn_file_actions_addopen(&setup.actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&setup.actions, output->write.get(), 1);
  posix_spawn_file_actions_adddup2(&setup.actions, output->write.get(), 2);
  posix_spawn_file_actions_adddup2(&setup.actions, asked->get(), 3);
  posix_spawn_file_actions_adddup2(&setup.actions, answer->write.get(), 4);
  posix_spawnattr_setflags(&setup.attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
  posix_spawnattr_setpgroup(&setup.attributes, 0);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&setup.attributes, &none);
  std::string program = options.program.string();
  std::string parent = std::to_string(getpid());
  std::array<char*, 3> arguments = {program.data(), parent.data(), nullptr};
  pid_t pid = 0;
  // The worker runs machine code of others.
  auto environment = environment_without_tokens();
  std::vector<char*> variables;
  for (auto& variable : environment)
    variables.push_back(variable.data());
  variables.push_back(nullptr);
  const int code = posix_spawn(&pid, program.c_str(), &setup.actions, &setup.attributes, arguments.data(),
                               variables.data());
  if (code != 0) return fail(system_error("start", program, code));
  return Running{WorkerProcess(pid), std::move(answer->read), std::move(output->read)};
}

/// What has been heard of the worker so far.
struct Heard {
  std::string step = "starting";
  std::string tail;  ///< end of its standard output and error
  std::optional<CaseResult> result;
};

/// Reads what is there; false at the end of the stream.
bool drain(int fd, std::string& to) {
  std::array<char, 65536> chunk;
  const ssize_t got = read(fd, chunk.data(), chunk.size());
  if (got < 0) return errno == EINTR || errno == EAGAIN;
  to.append(chunk.data(), static_cast<std::size_t>(got));
  return got > 0;
}

void keep_tail(std::string& tail) {
  if (tail.size() > kTailBytes) tail.erase(0, tail.size() - kTailBytes);
}

/// What a dead worker has left in the pipe.
void drain_all(int fd, std::string& tail) {
  while (drain(fd, tail))
    keep_tail(tail);
}

void note_frame(const std::string& frame, Heard& heard, const StepSink& on_step) {
  const auto json = nlohmann::json::parse(frame, nullptr, false);
  if (!json.is_object()) return;
  if (const auto step = json.find("step"); step != json.end() && step->is_string()) {
    heard.step = step->get<std::string>();
    if (on_step) on_step({heard.step});
  }
  if (const auto found = json.find("result"); found != json.end()) {
    auto result = decode_result(found->dump());
    if (result) heard.result = std::move(*result);
  }
}

enum class End : std::uint8_t { closed, time_limit, stopped };

/// Follows the worker until it closes its answers, the time is up or `stop` asks.
End follow(const Running& worker, Clock::time_point deadline, const std::stop_token& stop, Heard& heard,
           const StepSink& on_step) {
  constexpr int kStopCheckMs = 50;
  FrameReader frames;
  bool output_open = true;
  for (;;) {
    if (stop.stop_requested()) return End::stopped;
    if (Clock::now() >= deadline) return End::time_limit;
    std::array<pollfd, 2> fds = {pollfd{worker.answer.get(), POLLIN, 0},
                                 pollfd{output_open ? worker.output.get() : -1, POLLIN, 0}};
    if (poll(fds.data(), fds.size(), kStopCheckMs) <= 0) continue;
    if (fds[1].revents != 0) {
      output_open = drain(worker.output.get(), heard.tail);
      keep_tail(heard.tail);
    }
    if (fds[0].revents == 0) continue;
    std::string bytes;
    const bool open = drain(worker.answer.get(), bytes);
    frames.append(bytes);
    for (auto frame = frames.next();; frame = frames.next()) {
      if (!frame) return End::closed;  // not our protocol: judged by how the process ends
      if (!*frame) break;
      note_frame(**frame, heard, on_step);
    }
    if (!open || heard.result) return End::closed;
  }
}

std::string signal_text(int number) {
  const char* name = sigabbrev_np(number);
  return name == nullptr ? "signal " + std::to_string(number) : std::string("SIG") + name;
}

CaseResult judge(int status, const Heard& heard, std::uint64_t seed) {
  CaseResult result;
  result.seed = seed;
  result.verdict = Verdict::crashed;
  if (WIFSIGNALED(status)) {
    result.reason = "killed by " + signal_text(WTERMSIG(status));
    // Nobody here sends that: on Linux it is the kernel's answer to a lack of memory.
    if (WTERMSIG(status) == SIGKILL) {
      result.verdict = Verdict::out_of_memory;
      result.reason += ", as the system does when memory runs out,";
    }
  } else {
    result.reason = "the process ended with status " + std::to_string(WEXITSTATUS(status)) + " and no answer";
  }
  result.reason += " while " + heard.step;
  if (!heard.tail.empty()) result.reason += "; its last output: " + heard.tail;
  return result;
}

CaseResult too_slow(const CaseRequest& request, const WorkerOptions& options, const Heard& heard) {
  CaseResult result;
  result.seed = request.seed;
  result.verdict = Verdict::timed_out;
  result.reason =
      "no answer within " + std::to_string(options.time_limit.count()) + " ms while " + heard.step;
  return result;
}

}  // namespace

Result<CaseResult> run_in_worker(const CaseRequest& request, const WorkerOptions& options,
                                 const StepSink& on_step, const std::stop_token& stop) {
  const auto deadline = Clock::now() + options.time_limit;
  auto worker = start(request, options);
  if (!worker) return std::unexpected(std::move(worker).error().while_doing("running a case"));
  Heard heard;
  const End end = follow(*worker, deadline, stop, heard, on_step);
  if (end == End::stopped) return fail(Errc::interrupted, "stopped");
  if (heard.result) return std::move(*heard.result);
  if (end == End::time_limit || !worker->process.ended_by(deadline)) return too_slow(request, options, heard);
  const int status = worker->process.end();
  drain_all(worker->output.get(), heard.tail);
  return judge(status, heard, request.seed);
}

}  // namespace kernels::bench
