#include "reporter.h"

#include <cerrno>
#include <cstdlib>
#include <string>
#include <type_traits>
#include <variant>

#include <unistd.h>

#include "text.h"

namespace kernels::app {

/// Writes everything, or ends the program with 0 if nobody reads any more (`kernels … | head`).
static void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    ssize_t done = ::write(fd, text.data(), text.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) {
      if (errno == EPIPE) std::_Exit(0);
      return;
    }
    text.remove_prefix(static_cast<std::size_t>(done));
  }
}

static bool wants_color() {
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  bool refused =
      (no_color != nullptr && *no_color != '\0') || (term != nullptr && std::string_view(term) == "dumb");
  return !refused && ::isatty(STDERR_FILENO) == 1;
}

Reporter::Reporter(Verbosity verbosity)
    : verbosity_(verbosity), terminal_(::isatty(STDERR_FILENO) == 1), colors_(wants_color()) {
  const char* bars = std::getenv("HF_HUB_DISABLE_PROGRESS_BARS");
  if (bars != nullptr && std::string_view(bars) != "0") terminal_ = false;
}

std::string Reporter::paint(std::string_view color, std::string_view text) const {
  if (!colors_) return std::string(text);
  return "\x1b[" + std::string(color) + "m" + std::string(text) + "\x1b[0m";
}

void Reporter::write_error(std::string_view text) {
  clear_progress();
  write_all(STDERR_FILENO, text);
}

void Reporter::result(std::string_view text) {
  clear_progress();
  write_all(STDOUT_FILENO, text);
}

void Reporter::status(std::string_view text) {
  if (verbosity_ != Verbosity::quiet) write_error(std::string(text) + "\n");
}

void Reporter::warning(std::string_view text) {
  write_error(paint("33;1", "warning:") + " " + std::string(text) + "\n");
}

void Reporter::error(const Error& error) {
  std::string text = paint("31;1", "error:") + " " + describe(error) + "\n";
  if (!error.hint().empty()) text += "\n" + paint("36;1", "hint:") + " " + error.hint() + "\n";
  write_error(text);
}

void Reporter::handle(const Event& event) {
  std::visit(
      [this](const auto& item) {
        using T = std::decay_t<decltype(item)>;
        if constexpr (std::is_same_v<T, Progress>)
          show(item);
        else if constexpr (std::is_same_v<T, Warning>)
          warning(item.text);
        else if (verbosity_ >= Verbosity::verbose || terminal_)
          status(item.text);
      },
      event);
}

void Reporter::show(const Progress& progress) {
  bool open = terminal_ && (verbosity_ == Verbosity::normal || verbosity_ == Verbosity::verbose);
  if (!open) return;
  auto elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
  auto speed = elapsed > 0 ? static_cast<double>(progress.bytes_done) / elapsed : 0;
  std::string line = "\r\x1b[K" + std::to_string(progress.files_done) + "/" +
                     counted(progress.files_total, "file") + "  " + human_bytes(progress.bytes_done) +
                     " of " + human_bytes(progress.bytes_total) + "  " +
                     human_bytes(static_cast<std::uint64_t>(speed)) + "/s";
  write_all(STDERR_FILENO, line);
  progress_shown_ = true;
}

void Reporter::clear_progress() {
  if (!progress_shown_) return;
  progress_shown_ = false;
  write_all(STDERR_FILENO, "\r\x1b[K");
}

}  // namespace kernels::app
