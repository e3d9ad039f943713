#include "kernels/bench/worker.h"

#include <array>
#include <csignal>
#include <cstring>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/base/log.h"
#include "kernels/base/secret.h"
#include "kernels/base/spawn.h"

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

/// For requests that are asked for later: writing to a socket does not kill the writer.
Result<Pipe> make_sockets() {
  std::array<int, 2> fds{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) != 0)
    return fail(system_error("make", "a socket", errno));
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

/// Whether the process that was started runs others' code itself, or watches over one that does.
enum class Role : std::uint8_t { worker, supervisor };

/// The worker process: killed and reaped when this object goes, whatever happened before.
class WorkerProcess {
 public:
  WorkerProcess(pid_t pid, Role role) : pid_(pid), role_(role) {}
  WorkerProcess(WorkerProcess&& other) noexcept : pid_(std::exchange(other.pid_, -1)), role_(other.role_) {}
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
    // A supervisor knows processes that have left its group, and ends them first.
    constexpr std::chrono::seconds kSweep{3};
    if (role_ == Role::supervisor && kill(pid_, SIGTERM) == 0) (void)ended_by(Clock::now() + kSweep);
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
  Role role_;
};

struct Running {
  WorkerProcess process;
  UniqueFd answer;
  UniqueFd output;
  UniqueFd requests;
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
Result<UniqueFd> request_file(const std::string& request) {
  UniqueFd file(memfd_create("request", MFD_CLOEXEC));
  if (!file) return fail(system_error("make", "a file in memory", errno));
  if (auto written = write_frame(file.get(), request); !written)
    return std::unexpected(std::move(written).error());
  if (lseek(file.get(), 0, SEEK_SET) != 0) return fail(system_error("rewind", "a file in memory", errno));
  return file;
}

/// What is started: the request, the arguments behind the parent's number, variables.
struct Launch {
  std::string request;
  std::vector<std::string> arguments = {};
  std::vector<std::pair<std::string, std::string>> environment = {};
  Role role = Role::worker;
};

/// The worker runs machine code of others: it has no business with tokens.
std::vector<std::string> environment_of(const Launch& launch) {
  auto out = environment_without_tokens();
  for (const auto& [name, value] : launch.environment) {
    std::erase_if(out, [&](const auto& entry) { return entry.starts_with(name + "="); });
    out.push_back(name + "=" + value);
  }
  return out;
}

Result<Running> start(const Launch& launch, const WorkerOptions& options) {
  auto asked = request_file(launch.request);
  if (!asked) return std::unexpected(std::move(asked).error());
  auto answer = make_pipe();
  auto output = make_pipe();
  auto requests = make_sockets();
  if (!answer || !output) return std::unexpected(!answer ? answer.error() : output.error());
  if (!requests) return std::unexpected(std::move(requests).error());
  for (UniqueFd* fd : {&*asked, &answer->write, &output->write, &requests->read})
    if (auto lifted = lift(*fd); !lifted) return std::unexpected(std::move(lifted).error());
  SpawnSetup setup(ProcessGroup::its_own);
  setup.hand(output->write.get(), STDOUT_FILENO);
  setup.hand(output->write.get(), STDERR_FILENO);
  setup.hand(asked->get(), kRequestDescriptor);
  setup.hand(answer->write.get(), kAnswerDescriptor);
  setup.hand(requests->read.get(), kMoreDescriptor);
  std::vector<std::string> arguments = {options.program.string(), std::to_string(getpid())};
  arguments.insert(arguments.end(), launch.arguments.begin(), launch.arguments.end());
  auto pid = setup.start(std::move(arguments), environment_of(launch));
  if (!pid) return std::unexpected(std::move(pid).error());
  return Running{WorkerProcess(*pid, launch.role), std::move(answer->read), std::move(output->read),
                 std::move(requests->write)};
}

/// What has been heard of the worker so far.
struct Heard {
  std::string step = "starting";
  std::string tail;   ///< end of its standard output and error
  std::string reply;  ///< the frame that is waited for
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
  for (const char* reply : {"answer", "samples", "result", "listing"})
    if (json.contains(reply)) heard.reply = frame;
}

enum class End : std::uint8_t { replied, closed, time_limit, stopped };

/// Follows the worker until it replies, closes its answers, the time is up or `stop` asks.
End follow(const Running& worker, FrameReader& frames, Clock::time_point deadline,
           const std::stop_token& stop, Heard& heard, const StepSink& on_step) {
  constexpr int kStopCheckMs = 50;
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
    if (!heard.reply.empty()) return End::replied;
    if (!open) return End::closed;
  }
}

std::string signal_text(int number) {
  const char* name = sigabbrev_np(number);
  return name == nullptr ? "signal " + std::to_string(number) : std::string("SIG") + name;
}

CaseResult judge(int status, const Heard& heard) {
  CaseResult result;
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

CaseResult too_slow(const WorkerOptions& options, const Heard& heard) {
  CaseResult result;
  result.verdict = Verdict::timed_out;
  result.reason =
      "no answer within " + std::to_string(options.time_limit.count()) + " ms while " + heard.step;
  return result;
}

/// What is inside a reply, if it is of this kind.
std::optional<std::string> part_of(const std::string& reply, const char* kind) {
  const auto json = nlohmann::json::parse(reply, nullptr, false);
  const auto found = json.is_object() ? json.find(kind) : json.end();
  if (!json.is_object() || found == json.end()) return std::nullopt;
  return found->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

class WorkerSession::Impl {
  using Reply = std::expected<std::string, CaseResult>;

 public:
  Impl(Running running, WorkerOptions options) : running_(std::move(running)), options_(std::move(options)) {}

  Result<CaseAnswer> prepare(const StepSink& on_step, const std::stop_token& stop) {
    auto reply = wait(on_step, stop);
    if (!reply) return fail(std::move(reply).error());
    if (!*reply) return CaseAnswer{.result = std::move(reply->error()), .device = {}};
    if (auto part = part_of(**reply, "answer"))
      if (auto answer = decode_answer(*part)) return answer;
    return CaseAnswer{.result = nonsense(), .device = {}};
  }

  Result<Reply> list(const StepSink& on_step, const std::stop_token& stop) {
    auto reply = wait(on_step, stop);
    if (!reply || !*reply) return reply;
    if (auto part = part_of(**reply, "listing")) return Reply(std::move(*part));
    if (auto part = part_of(**reply, "answer"))
      if (auto answer = decode_answer(*part)) return Reply(std::unexpect, std::move(answer->result));
    return Reply(std::unexpect, nonsense());
  }

  Result<Sampled> sample(std::uint32_t count, const std::stop_token& stop) {
    const auto request = nlohmann::json{{"sample", count}}.dump();
    // A worker that is gone is judged below, by how it went.
    if (auto sent = send_frame(running_.requests.get(), request); !sent)
      log(LogLevel::debug, describe(sent.error()));
    auto reply = wait({}, stop);
    if (!reply) return fail(std::move(reply).error());
    if (!*reply) return Sampled(std::unexpect, std::move(reply->error()));
    if (auto part = part_of(**reply, "samples"))
      if (auto batch = decode_batch(*part)) return std::move(*batch);
    if (auto part = part_of(**reply, "result"))
      if (auto result = decode_result(*part)) return Sampled(std::unexpect, std::move(*result));
    return Sampled(std::unexpect, nonsense());
  }

 private:
  static CaseResult nonsense() {
    CaseResult result;
    result.verdict = Verdict::crashed;
    result.reason = "the process answered with something that is no answer";
    return result;
  }

  /// The next reply, or how the worker ended.
  Result<Reply> wait(const StepSink& on_step, const std::stop_token& stop) {
    const auto deadline = Clock::now() + options_.time_limit;
    heard_.reply.clear();
    const End end = follow(running_, frames_, deadline, stop, heard_, on_step);
    if (end == End::stopped) return fail(Errc::interrupted, "stopped");
    if (end == End::replied) return heard_.reply;
    if (end == End::time_limit || !running_.process.ended_by(deadline))
      return Reply(std::unexpect, too_slow(options_, heard_));
    const int status = running_.process.end();
    drain_all(running_.output.get(), heard_.tail);
    return Reply(std::unexpect, judge(status, heard_));
  }

  Running running_;
  WorkerOptions options_;
  FrameReader frames_;
  Heard heard_;
};

WorkerSession::WorkerSession(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
WorkerSession::WorkerSession(WorkerSession&&) noexcept = default;
WorkerSession::~WorkerSession() = default;

Result<WorkerSession> WorkerSession::start(const CaseRequest& request, const WorkerOptions& options) {
  auto running = bench::start({.request = encode(request)}, options);
  if (!running) return fail(std::move(running).error());
  return WorkerSession(std::make_unique<Impl>(std::move(*running), options));
}

Result<WorkerSession> WorkerSession::start(const InterpreterRequest& request, const WorkerOptions& options) {
  auto running = bench::start({.request = request.payload,
                               .arguments = {request.interpreter},
                               .environment = request.environment,
                               .role = Role::supervisor},
                              options);
  if (!running) return fail(std::move(running).error());
  return WorkerSession(std::make_unique<Impl>(std::move(*running), options));
}

Result<std::expected<std::string, CaseResult>> WorkerSession::list(const StepSink& on_step,
                                                                   const std::stop_token& stop) {
  return impl_->list(on_step, stop);
}

Result<CaseAnswer> WorkerSession::prepare(const StepSink& on_step, const std::stop_token& stop) {
  return impl_->prepare(on_step, stop);
}

Result<Sampled> WorkerSession::sample(std::uint32_t count, const std::stop_token& stop) {
  return impl_->sample(count, stop);
}

}  // namespace kernels::bench
