#include "app.h"

#include <cstdlib>
#include <filesystem>
#include <thread>

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "kernels/hub/url.h"

#include "version.h"

namespace kernels::app {

/// Waits for signals on a thread of its own: a stop request runs callbacks, which no signal handler may.
struct App::Signals {
  Signals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);  // ends this thread
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    thread = std::thread([this, set] {
      for (int signal = 0;;) {
        if (sigwait(&set, &signal) != 0 || signal == SIGUSR1) return;
        if (source.stop_requested()) std::_Exit(static_cast<int>(ExitCode::interrupted));
        source.request_stop();
      }
    });
  }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  ~Signals() {
    pthread_kill(thread.native_handle(), SIGUSR1);
    thread.join();
  }
  std::stop_source source;
  std::thread thread;
};

static Verbosity verbosity_of(const GlobalOptions& options) {
  if (options.quiet) return Verbosity::quiet;
  if (options.verbose >= 2) return Verbosity::debug;
  return options.verbose == 1 ? Verbosity::verbose : Verbosity::normal;
}

App::App(GlobalOptions options) : options_(std::move(options)), reporter_(verbosity_of(options_)) {
  connect_diagnostics(verbosity_of(options_));
}

App::~App() = default;

Result<hub::Settings> App::settings() const {
  auto settings = hub::read_settings(hub::process_environment());
  if (!settings) return settings;
  // A core dump would hold the token, and others would read it there.
  if (!settings->token.empty()) ::prctl(PR_SET_DUMPABLE, 0);
  if (options_.offline) {
    settings->offline = true;
    settings->offline_source = "--offline";
  }
  if (options_.cache) {
    settings->cache = *options_.cache;
    settings->cache_source = "--cache";
  }
  if (options_.endpoint) {
    settings->endpoint = *options_.endpoint;
    settings->endpoint_source = "--endpoint";
    while (settings->endpoint.ends_with('/'))
      settings->endpoint.pop_back();
    auto origin = hub::origin_of(settings->endpoint);
    if (!origin) return kernels::fail(std::move(origin).error());
    if (auto encrypted = hub::check_encryption(*origin, settings->plain_http); !encrypted)
      return kernels::fail(std::move(encrypted).error());
  }
  return settings;
}

const machine::Detected& App::machine() {
  if (!machine_) machine_ = machine::detect(hub::process_environment());
  return *machine_;
}

void App::use_python(const std::string& python) {
  machine_ = machine::detect(hub::process_environment(), python);
}

EventSink App::events() {
  return [this](const Event& event) { reporter_.handle(event); };
}

std::stop_token App::stop_token() {
  if (!signals_) signals_ = std::make_unique<Signals>();
  return signals_->source.get_token();
}

std::string App::user_agent() const {
  std::string agent = std::string("kernels-cpp/") + kVersion;
  auto settings = hub::read_settings(hub::process_environment());
  if (settings && settings->telemetry) agent += "; file_type/kernel";
  if (const char* origin = std::getenv("HF_HUB_USER_AGENT_ORIGIN"); origin != nullptr && *origin != '\0')
    agent += std::string("; origin/") + origin;
  return agent;
}

ExitCode App::fail(const Error& error) {
  if (error.code() == Errc::interrupted) {
    reporter_.status("interrupted; what was verified stays, run the command again to go on");
    return ExitCode::interrupted;
  }
  reporter_.error(error);
  return exit_code_of(error.code());
}

}  // namespace kernels::app
