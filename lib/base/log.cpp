#include "kernels/base/log.h"

namespace kernels {

namespace {
LogSink g_sink = nullptr;
LogLevel g_threshold = LogLevel::info;
}  // namespace

void set_log_sink(LogSink sink, LogLevel threshold) {
  g_sink = sink;
  g_threshold = threshold;
}

bool log_enabled(LogLevel level) {
  return g_sink != nullptr && level >= g_threshold;
}

void log(LogLevel level, std::string_view text) {
  if (log_enabled(level)) g_sink(level, text);
}

}  // namespace kernels
