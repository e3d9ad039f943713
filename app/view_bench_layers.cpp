#include "view_bench_layers.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "json_values.h"
#include "measures.h"
#include "text.h"
#include "view_bench.h"

namespace kernels::app {

namespace {

using bench::ResultRow;
using bench::SeriesKind;

/// A workload and a data type of a layer, and what each kernel did there.
using Round = std::pair<std::string, std::vector<const ResultRow*>>;

struct LayerView {
  const bench::Results* results = nullptr;
  std::string layer;
  std::uint32_t device = 0;
  std::vector<const ResultRow*> rows;
};

std::string kernel_of(const LayerView& view, const ResultRow& row) {
  const auto& subject = view.results->subjects[row.subject];
  auto twins = std::ranges::any_of(view.rows, [&](const ResultRow* other) {
    const auto& others = view.results->subjects[other->subject];
    return others.kernel == subject.kernel &&
           (others.commit != subject.commit || other->function != row.function);
  });
  auto name = plain(subject.kernel);
  return twins ? name + " " + plain(subject.commit.substr(0, 7)) + " " + plain(row.function) : name;
}

std::vector<Round> rounds_of(const LayerView& view) {
  std::vector<Round> out;
  for (const auto* row : view.rows) {
    auto name = std::string(runtime::name_of(row->dtype)) + " " + plain(row->workload);
    auto found = std::ranges::find(out, name, &Round::first);
    if (found == out.end()) found = out.insert(out.end(), {name, {}});
    found->second.push_back(row);
  }
  return out;
}

std::optional<bench::Summary> time_of(const ResultRow& row) {
  const auto* cold = row.result.timing ? row.result.timing->find(SeriesKind::cold) : nullptr;
  if (cold == nullptr) return std::nullopt;
  return cold->summary();
}

std::string times_text(const bench::Ratio& ratio) {
  return decimal(ratio.value, 3) + " (" + decimal(ratio.low, 3) + " to " + decimal(ratio.high, 3) + ")";
}

/// Shapes that are only checked stand in the table where a kernel is not right there.
void add_round(const LayerView& view, const Round& round, std::vector<std::vector<std::string>>& lines) {
  const ResultRow* best = nullptr;
  bool all_right = true;
  for (const auto* row : round.second) {
    all_right &= row->result.verdict == bench::Verdict::right;
    auto time = time_of(*row);
    if (time && (best == nullptr || time->median < time_of(*best)->median)) best = row;
  }
  if (best == nullptr && all_right && round.second.front()->sizes.empty()) return;
  auto name = round.first;
  for (const auto* row : round.second) {
    std::string verdict(bench::name_of(row->result.verdict));
    std::vector<std::string> cells = {std::exchange(name, ""), kernel_of(view, *row), "", "", "", verdict};
    if (auto time = time_of(*row)) {
      auto share = row->result.share_of_limit();
      cells[2] = time_text(time->median);
      cells[3] = share ? share_text(share->value) : "-";
      cells[4] = row == best ? "best" : times_text(bench::ratio_of(*time, *time_of(*best)));
    }
    lines.push_back(std::move(cells));
  }
}

std::string reasons(const LayerView& view) {
  std::string out;
  std::set<std::string> said;
  for (const auto* row : view.rows)
    if (!row->result.reason.empty() && said.insert(kernel_of(view, *row) + row->result.reason).second &&
        !row->result.reason.starts_with("not run"))
      out += "\n" + kernel_of(view, *row) + " " + std::string(runtime::name_of(row->dtype)) + " " +
             plain(row->workload) + ": " + plain(row->result.reason) + "\n";
  return out;
}

std::string members(const LayerView& view) {
  std::vector<std::vector<std::string>> lines;
  std::set<std::pair<std::uint32_t, std::string>> seen;
  for (const auto* row : view.rows) {
    if (!seen.emplace(row->subject, row->function).second) continue;
    const auto& subject = view.results->subjects[row->subject];
    lines.push_back({"  " + plain(subject.kernel), "at " + plain(subject.commit.substr(0, 12)),
                     plain(row->function), plain(subject.variant)});
  }
  return table_within(kTableColumns, lines);
}

/// All rows of each kernel in one number.
void add_means(const LayerView& view, std::vector<std::vector<std::string>>& lines) {
  std::vector<const ResultRow*> firsts;
  bench::ContestRows rows;
  for (const auto* row : view.rows) {
    auto found = std::ranges::find_if(firsts, [&](const ResultRow* first) {
      return first->subject == row->subject && first->function == row->function;
    });
    auto index = static_cast<std::size_t>(found - firsts.begin());
    if (found == firsts.end()) {
      firsts.push_back(row);
      rows.emplace_back();
    }
    rows[index].push_back(row);
  }
  auto all = bench::standings(rows);
  auto best = bench::choose(rows, std::nullopt, std::vector<bool>(rows.size(), true), 0).best;
  if (!best || all[*best].times < 2) return;
  std::string name = "all, geometric mean";
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::vector<std::string> cells = {std::exchange(name, ""), kernel_of(view, *firsts[i]), "", "", "", ""};
    cells[2] = all[i].is_right ? time_text(all[i].mean_ns) : "-";
    if (all[i].is_right)
      cells[4] = i == *best ? "best" : times_text(bench::ratio_between(rows[i], rows[*best]));
    lines.push_back(std::move(cells));
  }
}

std::string layer_text(const LayerView& view) {
  auto out = "layer " + plain(view.layer) + "\n" + members(view);
  out += measuring_text(view.results->settings, view.results->devices[view.device], view.rows);
  std::vector<std::vector<std::string>> lines = {
      {"WORKLOAD", "KERNEL", "TIME", "OF LIMIT", "TO THE BEST", "RESULT"}};
  for (const auto& round : rounds_of(view))
    add_round(view, round, lines);
  add_means(view, lines);
  return out + "\n" + table_within(kTableColumns, lines) + reasons(view) + "\n";
}

std::string capability_text(const std::optional<std::uint32_t>& capability) {
  if (!capability) return "";
  return " " + std::to_string(*capability / 10) + "." + std::to_string(*capability % 10);
}

void add_names(std::vector<std::vector<std::string>>& lines, const std::string& what,
               const std::vector<std::string>& names) {
  if (!names.empty()) lines.push_back({what, plain_words(names)});
}

std::vector<std::string> names_of(const std::vector<ops::BenchTarget>& targets) {
  std::vector<std::string> out;
  for (const auto& target : targets)
    out.push_back(target.kernel);
  return out;
}

}  // namespace

bool is_contested(const bench::Results& results, const bench::Subject& subject) {
  if (subject.layer.empty()) return false;
  std::set<std::pair<std::uint32_t, std::string>> members;
  for (const auto& row : results.rows)
    if (results.subjects[row.subject].layer == subject.layer) members.emplace(row.subject, row.function);
  return members.size() > 1;
}

std::string contests_text(const bench::Results& results) {
  std::vector<LayerView> views;
  for (const auto& row : results.rows) {
    const auto& subject = results.subjects[row.subject];
    if (!is_contested(results, subject)) continue;
    auto found = std::ranges::find_if(views, [&](const LayerView& view) {
      return view.layer == subject.layer && view.device == row.device;
    });
    if (found == views.end())
      found = views.insert(views.end(), LayerView{&results, subject.layer, row.device, {}});
    found->rows.push_back(&row);
  }
  std::string out;
  for (const auto& view : views)
    out += layer_text(view);
  return out;
}

std::string selection_text(const std::vector<ops::SelectedLayer>& selected, const std::string& file) {
  std::vector<std::vector<std::string>> lines = {{"LAYER", "DEVICE", "MODE", "WAS", "IS", "WHY"}};
  bool is_changed = false;
  for (const auto& item : selected) {
    is_changed |= !item.winner.empty();
    auto why = plain(item.reason);
    if (item.ratio) why += ": " + times_text(*item.ratio) + " of the time";
    lines.push_back({plain(item.layer), to_string(item.device) + capability_text(item.capability),
                     item.mode.str(), plain(item.mapped), item.winner.empty() ? "stays" : plain(item.winner),
                     std::move(why)});
  }
  auto out = selected.empty() ? "" : "\n" + table_within(kTableColumns, lines) + "\n";
  if (!is_changed) return out + "`" + plain(file) + "` is as it was\n";
  return out + "`" + plain(file) + "` is written; run `kernels lock`, so that the lock follows it\n";
}

std::string with_selection_json(const std::string& results, const std::vector<ops::SelectedLayer>& selected) {
  Json list = Json::array();
  for (const auto& item : selected) {
    Json ratio = nullptr;
    if (item.ratio)
      ratio = {{"value", item.ratio->value}, {"low", item.ratio->low}, {"high", item.ratio->high}};
    auto capability = capability_text(item.capability);
    list.push_back({{"layer", item.layer},
                    {"device", to_string(item.device)},
                    {"capability", capability.empty() ? Json(nullptr) : Json(capability.substr(1))},
                    {"mode", item.mode.str()},
                    {"mapped", item.mapped},
                    {"winner", item.winner.empty() ? Json(nullptr) : Json(item.winner)},
                    {"reason", item.reason},
                    {"ratio", ratio}});
  }
  // The text has lists of samples on one line each, which writing it anew would not.
  auto end = results.rfind("\n}");
  return results.substr(0, end) +
         ",\n  \"selected\": " + list.dump(-1, ' ', false, Json::error_handler_t::replace) +
         results.substr(end);
}

std::string changes_text(const ops::LockChanges& changes) {
  std::vector<std::string> changed;
  for (const auto& kernel : changes.changed)
    changed.push_back(kernel.after.kernel + " " + kernel.before.commit.substr(0, 7) + " → " +
                      kernel.after.commit.substr(0, 7));
  std::vector<std::vector<std::string>> lines;
  add_names(lines, "changed:", changed);
  add_names(lines, "added:", names_of(changes.added));
  add_names(lines, "removed:", changes.removed);
  add_names(lines, "the same bytes, not measured:", changes.same_bytes);
  add_names(lines, "the same commit, not measured:", changes.same_commit);
  return lines.empty() ? "" : table_within(kTableColumns, lines) + "\n";
}

std::string with_changes_json(const std::string& comparison, const ops::LockChanges& changes) {
  auto out = Json::parse(comparison);
  auto changed = Json::array();
  for (const auto& kernel : changes.changed)
    changed.push_back(
        {{"kernel", kernel.after.kernel}, {"before", kernel.before.commit}, {"after", kernel.after.commit}});
  out["kernels"] = {{"changed", changed},
                    {"added", names_of(changes.added)},
                    {"removed", changes.removed},
                    {"same_bytes", changes.same_bytes},
                    {"same_commit", changes.same_commit}};
  return printed(out);
}

}  // namespace kernels::app
