#include "random_results.h"

#include <array>
#include <bit>
#include <cmath>
#include <limits>

namespace kernels::test {

using namespace bench;

namespace {

std::uint64_t below(std::mt19937_64& random, std::uint64_t limit) {
  return random() % limit;
}

bool flip(std::mt19937_64& random) {
  return below(random, 2) == 0;
}

/// Small, middling and the largest whole numbers.
template <class T>
T whole(std::mt19937_64& random) {
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<T>::max());
  switch (below(random, 4)) {
    case 0:
      return 0;
    case 1:
      return static_cast<T>(kMost);
    case 2:
      return static_cast<T>(below(random, 100));
    default:
      return static_cast<T>(random() & kMost);
  }
}

/// Any finite number that is not negative, from the bits, so that every digit counts; at most `high`.
double real(std::mt19937_64& random, double high = std::numeric_limits<double>::max()) {
  switch (below(random, 5)) {
    case 0:
      return 0;
    case 1:
      return std::numeric_limits<double>::denorm_min();
    case 2:
      return high;
    default:
      break;
  }
  for (;;)
    if (const double value = std::fabs(std::bit_cast<double>(random())); value <= high) return value;
}

std::string text(std::mt19937_64& random) {
  static constexpr std::array<const char*, 12> kPieces = {
      "rms_norm", " ", "|", "`", "<b>", "]]>", "\"\\", "\n", "\x1b[31m", "µs", "\u202e", "\U0001F600"};
  std::string out;
  for (auto left = below(random, 5); left > 0; --left)
    out += kPieces.at(below(random, kPieces.size()));
  return out;
}

template <class T>
std::vector<T> some(std::mt19937_64& random, std::uint64_t most, T (*one)(std::mt19937_64&)) {
  std::vector<T> out;
  for (auto left = below(random, most + 1); left > 0; --left)
    out.push_back(one(random));
  return out;
}

Launch launch(std::mt19937_64& random) {
  auto size = [&] { return whole<std::uint32_t>(random); };
  auto attribute = [&] { return whole<std::int32_t>(random); };
  return {.name = text(random),
          .grid = {size(), size(), size()},
          .block = {size(), size(), size()},
          .shared_bytes = size(),
          .registers = attribute(),
          .local_bytes = attribute(),
          .binary_version = attribute(),
          .ptx_version = attribute()};
}

std::optional<Range> range(std::mt19937_64& random) {
  if (flip(random)) return std::nullopt;
  const double one = real(random);
  const double other = real(random);
  return Range{.low = std::min(one, other), .high = std::max(one, other)};
}

Conditions conditions(std::mt19937_64& random) {
  Conditions out = {.clock_mhz = range(random),
                    .memory_mhz = range(random),
                    .power_w = range(random),
                    .temperature_c = range(random),
                    .cycles = range(random),
                    .instructions = range(random),
                    .slowed_by = some(random, 2, text),
                    .other_processes = whole<std::uint32_t>(random),
                    .memory_errors = whole<std::uint64_t>(random)};
  if (out.temperature_c && flip(random)) out.temperature_c->low = -40.5;
  for (auto left = below(random, 3); left > 0; --left)
    out.dropped[text(random)] = whole<std::uint64_t>(random);
  return out;
}

Series series(std::mt19937_64& random) {
  constexpr double kLongest = 1e18;
  Series out;
  for (auto left = below(random, 9); left > 0; --left)
    out.samples.push_back(real(random, kLongest));
  return out;
}

Timing timing(std::mt19937_64& random) {
  Timing out;
  for (auto kind : {SeriesKind::warm, SeriesKind::single, SeriesKind::limit, SeriesKind::warm_limit,
                    SeriesKind::floor, SeriesKind::reference})
    if (flip(random)) out.series[kind] = series(random);
  out.series[SeriesKind::cold] = series(random);
  out.series[SeriesKind::cold].samples.push_back(real(random, 1e9));
  out.bytes = whole<std::uint64_t>(random);
  out.flops = whole<std::uint64_t>(random);
  out.stopped = static_cast<Stopped>(below(random, 3));
  out.method = text(random);
  out.limit_method = text(random);
  out.conditions = conditions(random);
  return out;
}

double error(std::mt19937_64& random) {
  return below(random, 4) == 0 ? std::numeric_limits<double>::infinity() : real(random);
}

MachineFact fact(std::mt19937_64& random) {
  return {.name = text(random), .value = text(random), .source = text(random)};
}

Subject subject(std::mt19937_64& random) {
  return {.kernel = text(random),
          .commit = text(random),
          .variant = text(random),
          .variant_sha256 = text(random),
          .library = text(random),
          .runner = text(random),
          .layer = text(random)};
}

}  // namespace

CaseResult random_case_result(std::mt19937_64& random) {
  CaseResult out;
  out.verdict = static_cast<Verdict>(below(random, 9));
  out.reason = text(random);
  out.probe = {.launches = some(random, 2, launch),
               .copies = whole<std::uint32_t>(random),
               .is_recordable = flip(random),
               .faults = some(random, 2, text)};
  out.numerics = {
      .max_error = error(random), .worst_share = error(random), .checked = whole<std::uint64_t>(random)};
  if (may_have_time(out.verdict) && below(random, 4) != 0) out.timing = timing(random);
  return out;
}

DeviceRecord random_device(std::mt19937_64& random) {
  return {.kind = flip(random) ? "cuda" : "cpu",
          .index = whole<std::uint32_t>(random),
          .name = text(random),
          .uuid = text(random),
          .driver = text(random),
          .capability = text(random),
          .multiprocessors = whole<std::uint32_t>(random),
          .memory_bytes = whole<std::uint64_t>(random),
          .cache_bytes = whole<std::uint64_t>(random),
          .ecc = flip(random) ? std::optional(flip(random)) : std::nullopt,
          .max_clock_mhz = whole<std::uint32_t>(random),
          .max_memory_mhz = whole<std::uint32_t>(random),
          .power_limit_w = real(random)};
}

Results random_results(std::mt19937_64& random) {
  Results out;
  out.program = text(random);
  out.started = text(random);
  out.host = text(random);
  out.job = text(random);
  out.settings = {
      .seed = whole<std::uint64_t>(random), .precision = real(random), .budget_seconds = real(random)};
  out.machine = some(random, 3, fact);
  out.devices = some(random, 3, random_device);
  out.subjects = some(random, 3, subject);
  if (out.devices.empty() || out.subjects.empty()) return out;
  for (auto left = below(random, 6); left > 0; --left) {
    auto& row = out.rows.emplace_back();
    row.device = static_cast<std::uint32_t>(below(random, out.devices.size()));
    row.subject = static_cast<std::uint32_t>(below(random, out.subjects.size()));
    row.function = text(random);
    row.workload = text(random);
    row.dtype = flip(random) ? std::optional(static_cast<DType>(below(random, 4))) : std::nullopt;
    for (auto sizes = below(random, 3); sizes > 0; --sizes)
      row.sizes[text(random)] = whole<std::int64_t>(random);
    row.tolerance = {.relative = real(random), .absolute = real(random)};
    row.result = random_case_result(random);
  }
  return out;
}

}  // namespace kernels::test
