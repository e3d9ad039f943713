#include <algorithm>
#include <array>
#include <cstdio>
#include <system_error>

#include <unistd.h>

#include "kernels/base/file.h"
#include "kernels/model/project_edit.h"
#include "kernels/ops/bench_layers.h"

namespace kernels::ops {

namespace fs = std::filesystem;

namespace {

std::string capability_text(std::uint32_t capability) {
  return std::to_string(capability / 10) + "." + std::to_string(capability % 10);
}

bool is_device_of(const LayerContest& contest, const bench::DeviceRecord& device) {
  return device.kind == to_string(contest.device) &&
         (!contest.capability || device.capability == capability_text(*contest.capability));
}

/// Whether a candidate declares what a mode asks of a kernel; for `fallback`, what the mapped one declares.
bool may_serve(const LayerCandidate& candidate, Mode mode, const LayerCandidate& mapped) {
  bool any = mode == Mode::fallback;
  bool backward = any ? mapped.serves.has_backward : mode.has(Mode::training);
  bool compile = any ? mapped.serves.can_torch_compile : mode.has(Mode::torch_compile);
  return (!backward || candidate.serves.has_backward) && (!compile || candidate.serves.can_torch_compile);
}

std::string number(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.4g", value);
  return text.data();
}

std::string time_text(double ns) {
  constexpr std::array kUnits = {" ns", " us", " ms"};
  constexpr double kThousand = 1e3;
  constexpr double kRoundsUp = 999.95;  // to four digits it would be 1000
  for (const char* unit : kUnits) {
    if (ns < kRoundsUp) return number(ns) + unit;
    ns /= kThousand;
  }
  return number(ns) + " s";
}

std::string ratio_text(const bench::Ratio& ratio) {
  return number(ratio.value) + " (" + number(ratio.low) + " to " + number(ratio.high) + ")";
}

std::string name_of(const LayerCandidate& candidate) {
  return candidate.repo.str() + " " + candidate.target.commit.substr(0, 12);
}

/// What somebody needs to believe a selection, or to make it again.
std::vector<std::string> evidence_for(const LayerContest& contest, const bench::ContestRows& rows,
                                      const bench::Choice& choice, std::size_t present,
                                      const bench::Results& results) {
  auto best = *choice.winner;
  const auto& device = results.devices[rows[best].front()->device];
  auto standing = bench::standings(rows)[best];
  std::vector<std::string> out = {results.started.substr(0, 10) + ", " + device.name +
                                  (device.driver.empty() ? "" : ", driver " + device.driver) + ", " +
                                  results.program + ", seed " + std::to_string(results.settings.seed)};
  out.push_back(name_of(contest.candidates[best]) + ": " + time_text(standing.mean_ns) +
                ", geometric mean of the medians of " + std::to_string(standing.times) +
                (standing.times == 1 ? " row" : " rows"));
  if (choice.next)
    out.push_back(ratio_text(bench::ratio_between(rows[best], rows[*choice.next])) + " of the time of " +
                  name_of(contest.candidates[*choice.next]));
  if (choice.next != present) {
    auto standings = bench::standings(rows);
    const auto& name = name_of(contest.candidates[present]);
    out.push_back(standings[present].is_right ? ratio_text(bench::ratio_between(rows[best], rows[present])) +
                                                    " of the time of " + name
                                              : name + " was mapped: " + standings[present].flaw);
  }
  return out;
}

struct Decided {
  SelectedLayer said;
  std::optional<LayerSelection> selection;
};

Decided decide(const LayerContest& contest, const LayerSlot& slot, const bench::Results& results,
               double threshold) {
  Decided out{.said = {.layer = contest.layer,
                       .device = contest.device,
                       .capability = contest.capability,
                       .mode = slot.mode,
                       .mapped = slot.mapped,
                       .winner = {},
                       .reason = {},
                       .ratio = {}},
              .selection = std::nullopt};
  // A row for every capability is no place for what one GPU has shown.
  if (contest.device != DeviceType::cpu && !contest.capability) {
    out.said.reason = "the capability of the device is not known";
    return out;
  }
  if (!slot.candidate) {
    out.said.reason = "what is mapped could not be measured";
    return out;
  }
  const auto& mapped = contest.candidates[*slot.candidate];
  auto rows = rows_of(contest, results);
  std::vector<bool> may_win;
  for (const auto& candidate : contest.candidates)
    may_win.push_back(may_serve(candidate, slot.mode, mapped));
  auto choice = bench::choose(rows, slot.candidate, may_win, threshold);
  out.said.reason = choice.reason;
  if (!choice.winner) {
    if (contest.candidates.size() == 1) out.said.reason = "there is no other candidate";
    return out;
  }
  const auto& winner = contest.candidates[*choice.winner];
  out.said.winner = winner.repo.str();
  // Another version of the kernel that is mapped.
  if (winner.repo == mapped.repo) out.said.winner += " (" + winner.requirement.display() + ")";
  if (bench::standings(rows)[*slot.candidate].is_right)
    out.said.ratio = bench::ratio_between(rows[*choice.winner], rows[*slot.candidate]);
  out.selection = {.layer = contest.layer,
                   .device = contest.device,
                   .capability = contest.capability,
                   .mode = slot.mode,
                   .repo = winner.repo,
                   .kernel_layer = winner.serves.name,
                   .requirement = winner.requirement,
                   .trust = winner.trust,
                   .evidence = evidence_for(contest, rows, choice, *slot.candidate, results)};
  return out;
}

ProjectFormat format_of(const fs::path& file) {
  return file.filename() == "pyproject.toml" ? ProjectFormat::pyproject : ProjectFormat::kernels_toml;
}

/// Replaces the file behind a link, not the link, and leaves its mode as it is.
Status replace_content(const fs::path& file, const std::string& text) {
  std::error_code code;
  auto real = fs::canonical(file, code);
  if (code) return fail(system_error("find", file.string(), code.value()));
  auto mode = fs::status(real, code).permissions();
  if (auto written = write_file(real, text, Durable::yes); !written) return written;
  fs::permissions(real, mode, code);
  return {};
}

}  // namespace

bench::ContestRows rows_of(const LayerContest& contest, const bench::Results& results) {
  bench::ContestRows out(contest.candidates.size());
  for (const auto& row : results.rows) {
    const auto& subject = results.subjects[row.subject];
    if (subject.layer != contest.layer || !is_device_of(contest, results.devices[row.device])) continue;
    for (std::size_t i = 0; i < out.size(); ++i) {
      const auto& candidate = contest.candidates[i];
      if (subject.kernel == candidate.target.kernel && subject.commit == candidate.target.commit &&
          row.function == candidate.contender.function.name)
        out[i].push_back(&row);
    }
  }
  return out;
}

Result<fs::path> selectable_file(const fs::path& folder) {
  auto project = load_project(folder);
  if (!project) return fail(std::move(project).error());
  if (project->layers.empty())
    return fail(
        Error(Errc::invalid_argument, "`" + project->file + "` maps no layers: there is nothing to select")
            .with_hint("write for example `[layers.RMSNorm]` with `cuda = { repo = \"org/name\" }`"));
  fs::path file = project->file;
  // The superuser may write anywhere; that a file has no bit for writing is still somebody's word.
  constexpr auto kAnyWrite = fs::perms::owner_write | fs::perms::group_write | fs::perms::others_write;
  std::error_code code;
  bool is_locked = (fs::status(file, code).permissions() & kAnyWrite) == fs::perms::none;
  if (is_locked || ::access(file.c_str(), W_OK) != 0 ||
      ::access(file.parent_path().empty() ? "." : file.parent_path().c_str(), W_OK) != 0)
    return fail(Errc::io, "`" + file.string() + "` cannot be written to: it is read-only");
  return file;
}

Result<std::vector<SelectedLayer>> select_layers(const fs::path& file, const std::string& before,
                                                 const std::vector<LayerContest>& contests,
                                                 const bench::Results& results, double threshold) {
  std::vector<SelectedLayer> out;
  auto text = before;
  for (const auto& contest : contests)
    for (const auto& slot : contest.slots) {
      auto decided = decide(contest, slot, results, threshold);
      out.push_back(std::move(decided.said));
      if (!decided.selection) continue;
      auto changed = select_layer(text, format_of(file), file.string(), *decided.selection);
      if (!changed) return fail(std::move(changed).error().while_doing("selecting kernels"));
      text = std::move(*changed);
    }
  // Told also where nothing would be written: what was measured may no longer be what the file maps.
  auto now = read_file(file);
  if (!now) return fail(std::move(now).error());
  if (*now != before)
    return fail(Errc::invalid_argument,
                "`" + file.string() + "` has changed while the kernels were measured; nothing was written");
  if (text == before) return out;
  if (auto writable = selectable_file(file.parent_path().empty() ? "." : file.parent_path()); !writable)
    return fail(std::move(writable).error());
  if (auto written = replace_content(file, text); !written) return fail(std::move(written).error());
  return out;
}

}  // namespace kernels::ops
