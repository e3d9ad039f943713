#include "kernels/bench/compare.h"

#include <algorithm>
#include <map>
#include <utility>

#include "device_pairs_impl.h"
#include "row_key_impl.h"

namespace kernels::bench {

namespace {

/// A row of the old run and the place where a row of the new one looks for it: `device` is an index into the
/// old run's devices.
struct Place {
  RowKey row;
  std::uint32_t device;
  auto operator<=>(const Place&) const = default;
};

std::string title(const Results& run, const ResultRow& row) {
  std::string out = "`" + row.function + "` of `" + run.subjects[row.subject].kernel + "`, " + row.workload +
                    " " + std::string(runtime::name_of(row.dtype));
  return row.sizes.empty() ? out : out + " " + describe(row.sizes);
}

/// The rows of one run by their place. Rows of one place are told apart by what ran there.
class Index {
 public:
  /// `which` run it is, for errors. `place_of` gives nothing for a device without a partner.
  template <class DeviceOf>
  Status fill(const Results& run, const char* which, DeviceOf device_of) {
    for (std::size_t i = 0; i < run.rows.size(); ++i) {
      const auto& row = run.rows[i];
      const Place place = {.row = row_key(run, row), .device = device_of(row.device)};
      if (!exact_.try_emplace({place, subject_key(run, row)}, i).second)
        return fail(Errc::invalid_argument, title(run, row) + " is there twice in the " + which +
                                                " run for device " + std::to_string(row.device));
      ++counts_[place];
      any_[place] = i;
    }
    return {};
  }
  std::size_t count(const Place& place) const {
    auto found = counts_.find(place);
    return found == counts_.end() ? 0 : found->second;
  }
  /// The one row of a place that has one.
  std::size_t only(const Place& place) const { return any_.at(place); }
  std::optional<std::size_t> find(const Place& place, const SubjectKey& subject) const {
    auto found = exact_.find({place, subject});
    if (found == exact_.end()) return std::nullopt;
    return found->second;
  }

 private:
  std::map<std::pair<Place, SubjectKey>, std::size_t> exact_;
  std::map<Place, std::size_t> counts_;
  std::map<Place, std::size_t> any_;
};

/// For each row of the new run the one of the old run.
Result<std::vector<std::optional<std::size_t>>> pair_rows(const Results& before, const Results& after) {
  const auto partners = pair_devices(before, after);
  // A device without a partner gets an index that no device of the old run has.
  auto place_of_new = [&](std::uint32_t device) {
    return partners[device].value_or(static_cast<std::uint32_t>(before.devices.size()) + device);
  };
  Index old_rows;
  if (auto status = old_rows.fill(before, "old", [](std::uint32_t device) { return device; }); !status)
    return fail(std::move(status).error());
  Index new_rows;
  if (auto status = new_rows.fill(after, "new", place_of_new); !status)
    return fail(std::move(status).error());
  std::vector<std::optional<std::size_t>> out;
  for (const auto& row : after.rows) {
    const Place place = {.row = row_key(after, row), .device = place_of_new(row.device)};
    if (old_rows.count(place) == 1 && new_rows.count(place) == 1)
      out.emplace_back(old_rows.only(place));
    else
      out.push_back(old_rows.find(place, subject_key(after, row)));
  }
  return out;
}

ComparedRow describe_row(const Results& run, const ResultRow& row) {
  ComparedRow out;
  out.kernel = run.subjects[row.subject].kernel;
  out.function = row.function;
  out.workload = row.workload;
  out.dtype = row.dtype;
  out.sizes = row.sizes;
  out.device = run.devices[row.device].name;
  return out;
}

bool is_comparable(const Summary& summary) {
  return summary.samples >= kFewestSamples && summary.median_low > 0;
}

void judge(ComparedRow& out, Verdict before, Verdict after, double threshold) {
  const bool was_right = may_have_time(before);
  const bool is_right = may_have_time(after);
  if (out.before && out.after && out.before->median_low > 0) out.ratio = ratio_of(*out.after, *out.before);
  if (was_right != is_right)
    out.change = is_right ? Change::mended : Change::broken;
  else if (!out.before || !out.after)
    out.change = Change::not_measured;
  else
    out.change = change_of(*out.before, *out.after, threshold);
}

std::string reason_of(const CaseResult& result) {
  std::string out(name_of(result.verdict));
  return result.reason.empty() ? out : out + ": " + result.reason;
}

}  // namespace

std::string_view name_of(Change change) {
  switch (change) {
    case Change::faster:
      return "FASTER";
    case Change::slower:
      return "SLOWER";
    case Change::same:
      return "SAME";
    case Change::unsure:
      return "UNSURE";
    case Change::broken:
      return "BROKEN";
    case Change::mended:
      return "MENDED";
    case Change::not_measured:
      return "NOT MEASURED";
    case Change::added:
      return "ADDED";
    case Change::removed:
      return "REMOVED";
  }
  return "";
}

Change change_of(const Summary& before, const Summary& after, double threshold) {
  if (!is_comparable(before) || !is_comparable(after)) return Change::unsure;
  const Ratio ratio = ratio_of(after, before);
  if (ratio.high < 1 - threshold) return Change::faster;
  if (ratio.low > 1 + threshold) return Change::slower;
  if (ratio.low >= 1 - threshold && ratio.high <= 1 + threshold) return Change::same;
  return Change::unsure;
}

std::size_t Comparison::count(Change change) const {
  return static_cast<std::size_t>(std::ranges::count(rows, change, &ComparedRow::change));
}

bool Comparison::has_regression() const {
  return count(Change::slower) + count(Change::broken) > 0;
}

Result<Comparison> compare(const Results& before, const Results& after, const CompareRules& rules) {
  if (!is_threshold(rules.threshold))
    return fail(Errc::invalid_argument, "the threshold should be 0 or more and below 1");
  Comparison out;
  out.threshold = rules.threshold;
  out.differences = differences(before, after);
  if (!out.differences.empty() && !rules.despite_differences) {
    std::string text = "the runs are not alike";
    for (const char* comma = ": "; const auto& difference : out.differences)
      text += std::exchange(comma, "; ") + difference;
    return fail(Error(Errc::invalid_argument, text)
                    .with_hint("measure both in the same way, or compare them despite the differences"));
  }
  auto partners = pair_rows(before, after);
  if (!partners) return fail(std::move(partners).error());
  std::vector<bool> is_left(before.rows.size(), true);
  for (std::size_t i = 0; i < after.rows.size(); ++i) {
    const auto& row = after.rows[i];
    auto& compared = out.rows.emplace_back(describe_row(after, row));
    compared.after = cold_summary(row);
    compared.change = Change::added;
    const auto partner = (*partners)[i];
    if (!partner) continue;
    is_left[*partner] = false;
    const auto& old = before.rows[*partner];
    compared.before = cold_summary(old);
    const auto& bytes = after.subjects[row.subject].variant_sha256;
    compared.same_bytes = !bytes.empty() && bytes == before.subjects[old.subject].variant_sha256;
    judge(compared, old.result.verdict, row.result.verdict, rules.threshold);
    if (compared.change == Change::broken) compared.reason = reason_of(row.result);
    // What is only checked is worth a line where it is no longer right, or right at last.
    if (row.sizes.empty() && compared.change == Change::not_measured) out.rows.pop_back();
  }
  for (std::size_t i = 0; i < is_left.size(); ++i) {
    if (!is_left[i]) continue;
    auto& compared = out.rows.emplace_back(describe_row(before, before.rows[i]));
    compared.before = cold_summary(before.rows[i]);
    compared.change = Change::removed;
  }
  return out;
}

}  // namespace kernels::bench
