#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <variant>

namespace kernels {

/// Something that a person should know and that does not stop the work.
struct Warning {
  std::string text;
};
/// What is being waited for or done, in a few words.
struct Note {
  std::string text;
};
/// How far a transfer is. Sent often; only the latest counts.
struct Progress {
  std::uint64_t files_done = 0;
  std::uint64_t files_total = 0;
  std::uint64_t bytes_done = 0;
  std::uint64_t bytes_total = 0;
};

/// The library never prints: it tells, and the program decides what to show where.
using Event = std::variant<Warning, Note, Progress>;
/// Called on the thread that called the library.
using EventSink = std::function<void(const Event&)>;

}  // namespace kernels
