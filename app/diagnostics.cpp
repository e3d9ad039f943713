#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "kernels/base/log.h"

#include "reporter.h"

namespace kernels::app {

static void to_spdlog(LogLevel level, std::string_view text) {
  spdlog::log(level == LogLevel::debug ? spdlog::level::debug : spdlog::level::info, "{}", text);
}

void connect_diagnostics(Verbosity verbosity) {
  if (verbosity < Verbosity::verbose) return;
  auto logger =
      std::make_shared<spdlog::logger>("kernels", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_pattern("%H:%M:%S.%e %l: %v");
  logger->set_level(spdlog::level::debug);
  spdlog::set_default_logger(logger);
  set_log_sink(&to_spdlog, verbosity == Verbosity::debug ? LogLevel::debug : LogLevel::info);
}

}  // namespace kernels::app
