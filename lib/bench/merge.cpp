#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "kernels/bench/compare.h"

#include "row_key_impl.h"

namespace kernels::bench {

namespace {

/// With two devices there is no telling which one is odd.
constexpr std::size_t kFewestDevices = 3;

/// What stands beside a device of the merged run.
struct Source {
  std::string host;
  std::string job;
};

std::string title(const Source& source) {
  return source.job.empty() ? source.host : source.host + ", " + source.job;
}

/// A device without a UUID is known by its host and place.
std::string identity(const Results& run, const DeviceRecord& device) {
  return !device.uuid.empty()
             ? device.uuid
             : run.host + " " + device.kind + " " + std::to_string(device.index) + " " + device.name;
}

using SubjectText =
    std::tuple<std::string, std::string, std::string, std::string, std::string, std::string, std::string>;
SubjectText text_of(const Subject& subject) {
  return {subject.kernel,  subject.commit, subject.variant, subject.variant_sha256,
          subject.library, subject.runner, subject.layer};
}

/// Puts runs one behind the other; subjects that are the same in several runs become one.
class Merger {
 public:
  Status add(const Results& run) {
    for (const auto& device : run.devices)
      if (!seen_.emplace(identity(run, device), run.started + " " + run.job).second)
        return fail(Error(Errc::invalid_argument, "`" + device.name + "` of `" + run.host +
                                                      "`, measured at `" + run.started + "`, is there twice")
                        .with_hint("each run may be given once"));
    const auto first = static_cast<std::uint32_t>(merged.devices.size());
    for (const auto& device : run.devices) {
      merged.devices.push_back(device);
      sources.push_back({.host = run.host, .job = run.job});
    }
    std::vector<std::uint32_t> subjects;
    for (const auto& subject : run.subjects) {
      const auto next = static_cast<std::uint32_t>(merged.subjects.size());
      const auto [place, is_new] = subjects_.try_emplace(text_of(subject), next);
      if (is_new) merged.subjects.push_back(subject);
      subjects.push_back(place->second);
    }
    for (const auto& row : run.rows) {
      auto& copy = merged.rows.emplace_back(row);
      copy.device += first;
      copy.subject = subjects[row.subject];
    }
    return {};
  }

  Results merged;
  std::vector<Source> sources;

 private:
  std::set<std::pair<std::string, std::string>> seen_;
  std::map<SubjectText, std::uint32_t> subjects_;
};

/// The median time of one row on one device.
struct Time {
  std::uint32_t device;
  double median;
};

/// The rows that devices of one name share: the same bytes on the same inputs.
using FleetKey = std::tuple<std::string_view, std::string_view, RowKey, SubjectKey, std::string_view>;

std::map<FleetKey, std::vector<Time>> shared_rows(const Results& run) {
  std::map<FleetKey, std::vector<Time>> out;
  for (const auto& row : run.rows) {
    const auto summary = cold_summary(row);
    if (!summary || summary->median <= 0) continue;
    const auto& device = run.devices[row.device];
    out[{device.kind, device.name, row_key(run, row), subject_key(run, row),
         run.subjects[row.subject].variant_sha256}]
        .push_back({.device = row.device, .median = summary->median});
  }
  return out;
}

/// How one device does beside its fleet, row by row.
struct Standing {
  double sum_of_logs = 0;
  double low = 0;
  double high = 0;
  std::size_t rows = 0;

  void add(double ratio) {
    sum_of_logs += std::log(ratio);
    low = rows == 0 ? ratio : std::min(low, ratio);
    high = std::max(high, ratio);
    ++rows;
  }
  Ratio ratio() const {
    return {.value = std::exp(sum_of_logs / static_cast<double>(rows)), .low = low, .high = high};
  }
};

std::map<std::uint32_t, Standing> standings(const Results& run) {
  std::map<std::uint32_t, Standing> out;
  for (const auto& [key, times] : shared_rows(run)) {
    std::set<std::uint32_t> devices;
    std::vector<double> medians;
    for (const auto& time : times) {
      devices.insert(time.device);
      medians.push_back(time.median);
    }
    if (devices.size() < kFewestDevices) continue;
    std::ranges::sort(medians);
    const double middle = quantile(medians, 0.5);
    for (const auto& time : times)
      out[time.device].add(time.median / middle);
  }
  return out;
}

}  // namespace

Result<Fleet> merge(const std::vector<Results>& runs, double threshold) {
  if (runs.empty()) return fail(Errc::invalid_argument, "there is no run to merge");
  if (!is_threshold(threshold))
    return fail(Errc::invalid_argument, "the threshold should be 0 or more and below 1");
  Merger merger;
  merger.merged.program = runs.front().program;
  merger.merged.started = runs.front().started;
  merger.merged.host = runs.front().host;
  merger.merged.job = runs.front().job;
  merger.merged.settings = runs.front().settings;
  merger.merged.machine = runs.front().machine;
  for (const auto& run : runs)
    if (auto status = merger.add(run); !status) return fail(std::move(status).error());
  Fleet out;
  for (const auto& [device, standing] : standings(merger.merged)) {
    const Ratio ratio = standing.ratio();
    if (!(ratio.value > 1 + threshold)) continue;
    const auto& record = merger.merged.devices[device];
    const auto& source = merger.sources[device];
    out.outliers.push_back({.host = source.host,
                            .job = source.job,
                            .device = record.name,
                            .uuid = record.uuid,
                            .ratio = ratio,
                            .rows = standing.rows});
  }
  std::ranges::stable_sort(out.outliers, std::ranges::greater(),
                           [](const Outlier& outlier) { return outlier.ratio.value; });
  for (const auto& source : merger.sources)
    out.sources.push_back(title(source));
  out.merged = std::move(merger.merged);
  return out;
}

}  // namespace kernels::bench
