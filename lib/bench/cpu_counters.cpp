#include "cpu_counters.h"

#include <array>
#include <cstdint>

#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace kernels::bench {

namespace {

UniqueFd open_counter(std::uint32_t type, std::uint64_t event) {
  perf_event_attr attributes{};
  attributes.size = sizeof(attributes);
  attributes.type = type;
  attributes.config = event;
  attributes.exclude_kernel = 1;  // else only root may, on many machines
  attributes.exclude_hv = 1;
  attributes.inherit = 1;
  attributes.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
  return UniqueFd(
      static_cast<int>(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC)));
}

std::optional<double> value_of(const UniqueFd& counter) {
  std::array<std::uint64_t, 3> read_out{};  // value, time enabled, time running
  if (::read(counter.get(), read_out.data(), sizeof(read_out)) != static_cast<ssize_t>(sizeof(read_out)))
    return std::nullopt;
  if (read_out[2] == 0) return std::nullopt;
  return static_cast<double>(read_out[0]) * static_cast<double>(read_out[1]) /
         static_cast<double>(read_out[2]);
}

}  // namespace

std::optional<CpuCounters> CpuCounters::open() {
  return open(PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES, PERF_COUNT_HW_INSTRUCTIONS);
}

std::optional<CpuCounters> CpuCounters::open(std::uint32_t type, std::uint64_t first, std::uint64_t second) {
  auto cycles = open_counter(type, first);
  auto instructions = open_counter(type, second);
  if (!cycles || !instructions) return std::nullopt;
  return CpuCounters(std::move(cycles), std::move(instructions));
}

std::optional<CpuCounters::Counts> CpuCounters::read() const {
  const auto cycles = value_of(cycles_);
  const auto instructions = value_of(instructions_);
  if (!cycles || !instructions) return std::nullopt;
  return Counts{.cycles = *cycles, .instructions = *instructions};
}

}  // namespace kernels::bench
