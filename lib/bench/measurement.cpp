#include "kernels/bench/measurement.h"

#include <array>
#include <cmath>

namespace kernels::bench {

namespace {

template <class T>
struct Named {
  T value;
  std::string_view name;
};

template <class T, std::size_t n>
std::string_view find_name(const std::array<Named<T>, n>& names, T value) {
  for (const auto& one : names)
    if (one.value == value) return one.name;
  return "";
}

template <class T, std::size_t n>
std::optional<T> find_value(const std::array<Named<T>, n>& names, std::string_view name) {
  for (const auto& one : names)
    if (one.name == name) return one.value;
  return std::nullopt;
}

constexpr std::array kVerdicts = {
    Named{Verdict::right, "right"},           Named{Verdict::unchecked, "not checked"},
    Named{Verdict::wrong, "wrong"},           Named{Verdict::raised, "raised"},
    Named{Verdict::misbehaved, "misbehaved"}, Named{Verdict::crashed, "crashed"},
    Named{Verdict::timed_out, "timed out"},   Named{Verdict::out_of_memory, "out of memory"},
    Named{Verdict::failed, "failed"}};

constexpr std::array kSeries = {Named{SeriesKind::cold, "cold"},
                                Named{SeriesKind::warm, "warm"},
                                Named{SeriesKind::single, "single"},
                                Named{SeriesKind::limit, "limit"},
                                Named{SeriesKind::warm_limit, "warm limit"},
                                Named{SeriesKind::floor, "floor"},
                                Named{SeriesKind::reference, "reference"}};

constexpr std::array kStops = {Named{Stopped::precision, "precision"}, Named{Stopped::budget, "budget"},
                               Named{Stopped::samples, "samples"}};

}  // namespace

std::string_view name_of(Verdict verdict) {
  return find_name(kVerdicts, verdict);
}
std::optional<Verdict> verdict_from_name(std::string_view name) {
  return find_value(kVerdicts, name);
}
std::string_view name_of(SeriesKind kind) {
  return find_name(kSeries, kind);
}
std::optional<SeriesKind> series_kind_from_name(std::string_view name) {
  return find_value(kSeries, name);
}
std::string_view name_of(Stopped stopped) {
  return find_name(kStops, stopped);
}
std::optional<Stopped> stopped_from_name(std::string_view name) {
  return find_value(kStops, name);
}

const Series* Timing::find(SeriesKind kind) const {
  auto found = series.find(kind);
  return found == series.end() || found->second.samples.empty() ? nullptr : &found->second;
}

double Timing::gb_per_s() const {
  const auto* cold = find(SeriesKind::cold);
  auto median = cold == nullptr ? 0 : cold->summary().median;
  return median > 0 ? static_cast<double>(bytes) / median : 0;
}

double Timing::tflop_per_s() const {
  const auto* cold = find(SeriesKind::cold);
  auto median = cold == nullptr ? 0 : cold->summary().median;
  return median > 0 ? static_cast<double>(flops) / median / 1e3 : 0;
}

Ratio ratio_of(const Summary& above, const Summary& below) {
  auto over = [](double a, double b) { return b > 0 ? a / b : a > 0 ? HUGE_VAL : 0; };
  return {.value = over(above.median, below.median),
          .low = over(above.median_low, below.median_high),
          .high = over(above.median_high, below.median_low)};
}

static std::optional<Ratio> over_cold(const std::optional<Timing>& timing, SeriesKind kind) {
  if (!timing) return std::nullopt;
  const auto* above = timing->find(kind);
  const auto* cold = timing->find(SeriesKind::cold);
  if (above == nullptr || cold == nullptr) return std::nullopt;
  return ratio_of(above->summary(), cold->summary());
}

std::optional<Ratio> CaseResult::share_of_limit() const {
  return over_cold(timing, SeriesKind::limit);
}

std::optional<Ratio> CaseResult::speedup() const {
  return over_cold(timing, SeriesKind::reference);
}

}  // namespace kernels::bench
