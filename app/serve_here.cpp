// The server, in a program of its own: kernels-serve.

#include <condition_variable>
#include <cstdlib>
#include <mutex>

#include "kernels/base/file.h"
#include "kernels/base/log.h"
#include "kernels/ops/serve.h"

#include "serve.h"

namespace kernels::app {

namespace {

/// The token is read from a file or the environment: a command line is visible to everybody on the machine.
Result<std::optional<Secret>> read_token(const ServeLine& line) {
  std::string text;
  if (line.token_file) {
    auto content = read_file(*line.token_file, 1 << 16);
    if (!content) return fail(std::move(content).error());
    text = *content;
  } else if (const char* value = std::getenv("KERNELS_SERVE_TOKEN"); value != nullptr) {
    text = value;
  }
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' '))
    text.pop_back();
  if (text.empty() && line.token_file)
    return fail(Errc::invalid_argument, "the token file `" + *line.token_file + "` is empty");
  if (text.empty()) return std::nullopt;
  return Secret(text);
}

void log_access(const hub::AccessRecord& record) {
  log(LogLevel::info, record.method + " " + record.target + " " + std::to_string(record.status) + " " +
                          std::to_string(record.bytes));
}

void wait_for_stop(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any stopped;
  std::unique_lock guard(mutex);
  stopped.wait(guard, stop, [] { return false; });
}

}  // namespace

ExitCode run_serve(const ServeLine& line, App& app) {
  auto settings = app.settings();
  if (!settings) return app.fail(settings.error());
  auto token = read_token(line);
  if (!token) return app.fail(token.error());
  ops::ServeRequest request{.cache = line.cache.value_or(settings->cache.string()), .options = {}};
  auto delivery = line.redirects ? hub::Delivery::redirect : hub::Delivery::direct;
  request.options = {.host = line.host,
                     .port = line.port,
                     .token = std::move(*token),
                     .trusted_publishers = line.trusted,
                     .large_files = delivery,
                     .small_files = delivery,
                     .access_log = &log_access};
  auto stop = app.stop_token();  // before the server's threads, which inherit the blocked signals
  auto server = ops::serve(request);
  if (!server) return app.fail(server.error());
  if (line.port_file)
    if (auto written = write_file(*line.port_file, std::to_string((*server)->port()) + "\n", Durable::no);
        !written)
      return app.fail(written.error());
  app.out().result("Serving " + request.cache.string() + " at " + (*server)->url() + "\n");
  app.out().status("use it with HF_ENDPOINT=" + (*server)->url() + "; Ctrl-C ends it");
  wait_for_stop(stop);
  (*server)->stop();
  return ExitCode::ok;
}

}  // namespace kernels::app
