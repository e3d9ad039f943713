#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "kernels/bench/compare.h"
#include "kernels/bench/contest.h"

#include "row_key_impl.h"

namespace kernels::bench {

namespace {

using Setting = std::tuple<std::uint32_t, std::string, std::optional<DType>>;

Setting setting_of(const ResultRow& row) {
  return {row.device, row.workload, row.dtype};
}

bool is_own_doing(Verdict verdict) {
  return verdict == Verdict::wrong || verdict == Verdict::raised || verdict == Verdict::misbehaved ||
         verdict == Verdict::crashed;
}

std::string flaw_of(const ResultRow& row) {
  return std::string(name_of(row.result.verdict)) + " at " + row.workload + " " +
         std::string(runtime::name_of(row.dtype));
}

Standing standing_of(const std::vector<const ResultRow*>& rows, const std::set<Setting>& all) {
  Standing out;
  double logs = 0;
  auto left = all;
  for (const auto* row : rows) {
    if (row->result.verdict != Verdict::right) {
      out.is_at_fault |= is_own_doing(row->result.verdict);
      if (out.flaw.empty()) out.flaw = flaw_of(*row);
      continue;
    }
    auto summary = cold_summary(*row);
    if (!summary || !(summary->median_low > 0) || !left.erase(setting_of(*row))) continue;
    logs += std::log(summary->median);
    ++out.times;
  }
  if (out.flaw.empty() && !left.empty())
    out.flaw = "not measured at " + std::get<1>(*left.begin()) + " " +
               std::string(runtime::name_of(std::get<2>(*left.begin())));
  if (out.flaw.empty() && out.times == 0) out.flaw = "nothing was measured";
  out.is_right = out.flaw.empty();
  if (out.is_right) out.mean_ns = std::exp(logs / static_cast<double>(out.times));
  return out;
}

}  // namespace

std::vector<Standing> standings(const ContestRows& rows) {
  std::set<Setting> all;
  for (const auto& contender : rows)
    for (const auto* row : contender)
      if (!row->sizes.empty()) all.insert(setting_of(*row));
  std::vector<Standing> out;
  for (const auto& contender : rows)
    out.push_back(standing_of(contender, all));
  return out;
}

Ratio ratio_between(const std::vector<const ResultRow*>& above, const std::vector<const ResultRow*>& below) {
  std::map<Setting, Summary> times;
  for (const auto* row : below)
    if (auto summary = cold_summary(*row)) times[setting_of(*row)] = *summary;
  Ratio logs;
  double count = 0;
  for (const auto* row : above) {
    auto summary = cold_summary(*row);
    auto other = times.find(setting_of(*row));
    if (!summary || other == times.end()) continue;
    auto ratio = ratio_of(*summary, other->second);
    logs.value += std::log(ratio.value);
    logs.low += std::log(ratio.low);
    logs.high += std::log(ratio.high);
    ++count;
  }
  if (count == 0) return {};
  return {.value = std::exp(logs.value / count),
          .low = std::exp(logs.low / count),
          .high = std::exp(logs.high / count)};
}

Choice choose(const ContestRows& rows, std::optional<std::size_t> present, const std::vector<bool>& may_win,
              double threshold) {
  auto all = standings(rows);
  Choice out;
  for (std::size_t i = 0; i < all.size(); ++i)
    if (all[i].is_right && may_win[i] && (!out.best || all[i].mean_ns < all[*out.best].mean_ns)) out.best = i;
  for (std::size_t i = 0; i < all.size(); ++i)
    if (all[i].is_right && i != out.best && (!out.next || all[i].mean_ns < all[*out.next].mean_ns))
      out.next = i;
  auto stays = [&](std::string why) {
    out.reason = std::move(why);
    return out;
  };
  if (!out.best) return stays("no candidate is right everywhere");
  if (!present) return stays("what is mapped could not be measured");
  if (out.best == present) return stays("it is the fastest that is right");
  const auto& now = all[*present];
  if (!now.is_right && !now.is_at_fault) return stays("what is mapped was not measured in full: " + now.flaw);
  if (!now.is_right) {
    out.winner = out.best;
    return stays("what was mapped is not right: " + now.flaw);
  }
  // The times must tell of medians: of fewer samples even the range need not hold them.
  for (auto i : {*out.best, *present})
    for (const auto* row : rows[i])
      if (auto summary = cold_summary(*row); summary && summary->samples < kFewestSamples)
        return stays("too few samples at " + row->workload + " " + std::string(runtime::name_of(row->dtype)) +
                     " to tell; a longer `--budget` takes more");
  if (!(ratio_between(rows[*out.best], rows[*present]).high < 1 - threshold))
    return stays("no candidate is faster for certain");
  out.winner = out.best;
  return stays("it is faster for certain");
}

}  // namespace kernels::bench
