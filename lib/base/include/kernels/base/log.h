#pragma once

#include <string_view>

namespace kernels {

enum class LogLevel { debug, info };

/// Where diagnostics go (`-v`, `-vv`). The library itself never prints; the program sets a sink once at
/// start, before any thread is made. Without one, diagnostics are dropped and cost one comparison.
using LogSink = void (*)(LogLevel level, std::string_view text);
void set_log_sink(LogSink sink, LogLevel threshold);
bool log_enabled(LogLevel level);
void log(LogLevel level, std::string_view text);

}  // namespace kernels
