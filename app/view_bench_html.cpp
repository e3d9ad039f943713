#include "view_bench_html.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "chart.h"
#include "markup.h"
#include "measures.h"
#include "text.h"

namespace kernels::app {

using bench::ResultRow;
using bench::SeriesKind;

namespace {

constexpr double kWidth = 960;

constexpr const char* kStyle = R"(
:root { color-scheme: light dark; --page: #ffffff; --ink: #1b1f24; --muted: #5d6672; --grid: #dfe3e8; --band: #f4f6f8;
  --bad: #b3261e; --c0: #0b6bcb; --c1: #b4540a; --c2: #1a7f4b; --c3: #8a3ffc; --c4: #a8326e; --c5: #00797d; --c6: #6b6b00;
  --c7: #5d6672; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --ink: #e8ebee; --muted: #9aa4af; --grid: #343a41;
  --band: #1d2126; --bad: #ff8a80; --c0: #6db3ff; --c1: #ffa860; --c2: #62d394; --c3: #c09bff; --c4: #ff8fc0; --c5: #5fd4d8;
  --c6: #d8d860; --c7: #9aa4af; } }
body { margin: 0 auto; padding: 1.5rem; max-width: 62rem; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.15rem; margin: 1.1rem 0 .2rem; } p { margin: .2rem 0 .8rem; }
section { margin-bottom: 1.4rem; }
.note { color: var(--muted); } .bad { color: var(--bad); }
.chart { overflow-x: auto; } svg { width: 100%; min-width: 44rem; height: auto; display: block; }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif; } svg .muted { fill: var(--muted); }
.grid { stroke: var(--grid); } .axis { stroke: var(--muted); } .roof { stroke: var(--muted); fill: none; stroke-dasharray: 5 4; }
.range { stroke: var(--ink); stroke-width: 1.5; } .track { fill: var(--band); } .median { stroke: var(--bad); stroke-width: 1.5; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; white-space: nowrap; }
th { text-align: left; color: var(--muted); font-weight: 600; } th, td { padding: .2rem .8rem .2rem 0; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; } tbody tr { border-top: 1px solid var(--grid); }
code { font: 12px ui-monospace, monospace; }
)";

/// A row that has a time, with what is drawn of it.
struct Timed {
  const ResultRow* row;
  bench::Summary cold;
  std::string name;   ///< function, data type and workload
  std::string group;  ///< function and data type: what is joined by a line
  std::size_t colour;
};

std::string kind_of(const char* shape, std::size_t colour) {
  constexpr std::size_t kColours = 8;
  return std::string(shape) + " k" + std::to_string(std::min(colour, kColours - 1));
}

std::string colour_styles() {
  std::string out;
  for (int i = 0; i < 8; ++i) {
    const auto n = std::to_string(i);
    out += ".bar.k" + n + ", .dot.k" + n + " { fill: var(--c" + n + "); } .line.k" + n +
           " { stroke: var(--c" + n + "); fill: none; stroke-width: 2; } .open.k" + n + " { stroke: var(--c" +
           n + "); fill: var(--page); stroke-width: 1.5; }\n";
  }
  return out;
}

std::vector<Timed> timed_rows(const bench::Results& results, std::uint32_t device) {
  std::vector<Timed> out;
  std::map<std::string, std::size_t> colours;
  for (const auto& row : results.rows) {
    if (row.device != device || !row.result.timing) continue;
    const auto* cold = row.result.timing->find(SeriesKind::cold);
    if (cold == nullptr) continue;
    const auto group = function_text(row);
    const auto colour = colours.emplace(row.function, colours.size()).first->second;
    out.push_back({.row = &row,
                   .cold = cold->summary(),
                   .name = group + " " + row.workload,
                   .group = group,
                   .colour = colour});
  }
  return out;
}

std::string chart(const std::string& picture) {
  return "<div class=\"chart\">\n" + picture + "</div>\n";
}

std::string section(const std::string& title, const std::string& note, const std::string& body) {
  return "<section>\n<h2>" + xml_text(title) + "</h2>\n<p class=\"note\">" + xml_text(note) + "</p>\n" +
         body + "</section>\n";
}

// Bars: how close to the limit, how far from the reference

using RatioOf = std::optional<bench::Ratio> (bench::CaseResult::*)() const;

/// A bar for each row that has the ratio, up to `scale` times it, with its interval; a line at 1.
std::string ratio_bars(const std::vector<Timed>& rows, RatioOf ratio_of, double scale,
                       std::string (*text_of)(double), const std::string& description) {
  constexpr double kLeft = 360;
  constexpr double kRight = kWidth - 70;
  constexpr double kRow = 22;
  std::vector<std::pair<const Timed*, bench::Ratio>> shown;
  double most = 1;
  for (const auto& timed : rows)
    if (const auto ratio = (timed.row->result.*ratio_of)(); ratio && std::isfinite(ratio->high)) {
      shown.emplace_back(&timed, *ratio);
      most = std::max(most, ratio->high);
    }
  const double bottom = 10 + kRow * static_cast<double>(shown.size());
  Picture picture(kWidth, bottom + 28, description);
  const auto axis = Axis::linear(0, scale * most, kLeft, kRight);
  for (double tick : axis.ticks()) {
    picture.line({axis.at(tick), 6}, {axis.at(tick), bottom}, "grid");
    picture.text({axis.at(tick), bottom + 18}, text_of(tick / scale), Anchor::middle, "muted");
  }
  double y = 8;
  for (const auto& [timed, ratio] : shown) {
    picture.text({kLeft - 10, y + 14}, timed->name, Anchor::end);
    picture.box(
        kLeft, y + 3, axis.at(scale * ratio.value) - kLeft, 14, kind_of("bar", timed->colour),
        timed->name + ": " + text_of(ratio.value) + ", " + text_of(ratio.low) + " to " + text_of(ratio.high));
    picture.line({axis.at(scale * ratio.low), y + 10}, {axis.at(scale * ratio.high), y + 10}, "range");
    picture.text({kRight + 12, y + 14}, text_of(ratio.value), Anchor::start);
    y += kRow;
  }
  picture.line({axis.at(scale), 6}, {axis.at(scale), bottom}, "axis");
  return picture.str();
}

bool any_has(const std::vector<Timed>& rows, RatioOf ratio_of) {
  return std::ranges::any_of(rows,
                             [&](const Timed& timed) { return (timed.row->result.*ratio_of)().has_value(); });
}

// Pictures with bytes along the bottom

/// `10 MB`, in powers of ten as rates are.
std::string bytes_text(double bytes) {
  constexpr std::array kUnits = {"B", "kB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  while (bytes >= 999.5 && unit + 1 < kUnits.size()) {
    bytes /= 1000;
    ++unit;
  }
  return decimal(bytes, 0) + " " + kUnits.at(unit);
}

struct Plane {
  Axis x;
  Axis y;
  Picture picture;
};

constexpr double kPlaneHeight = 380;
constexpr double kPlaneLeft = 80;
constexpr double kPlaneBottom = kPlaneHeight - 44;

Plane make_plane(const std::vector<Timed>& rows, double low, double high, const std::string& description,
                 std::string (*tick_text)(double)) {
  double least = HUGE_VAL;
  double most = 0;
  for (const auto& timed : rows) {
    const auto bytes = static_cast<double>(timed.row->result.timing->bytes);
    least = std::min(least, bytes);
    most = std::max(most, bytes);
  }
  Plane plane{.x = Axis::logarithmic(least, most, kPlaneLeft, kWidth - 30),
              .y = Axis::logarithmic(low, high, kPlaneBottom, 16),
              .picture = Picture(kWidth, kPlaneHeight, description)};
  for (double tick : plane.x.ticks()) {
    plane.picture.line({plane.x.at(tick), 16}, {plane.x.at(tick), kPlaneBottom}, "grid");
    plane.picture.text({plane.x.at(tick), kPlaneBottom + 18}, bytes_text(tick), Anchor::middle, "muted");
  }
  for (double tick : plane.y.ticks()) {
    plane.picture.line({kPlaneLeft, plane.y.at(tick)}, {kWidth - 30, plane.y.at(tick)}, "grid");
    plane.picture.text({kPlaneLeft - 8, plane.y.at(tick) + 4}, tick_text(tick), Anchor::end, "muted");
  }
  plane.picture.text({kWidth - 30, kPlaneBottom + 36}, "bytes read and written by one call", Anchor::end,
                     "muted");
  return plane;
}

std::string bandwidth_text(double gb_per_s) {
  return decimal(gb_per_s, gb_per_s < 1 ? 2 : 0) + " GB/s";
}

double limit_rate(const Timed& timed) {
  const auto* limit = timed.row->result.timing->find(SeriesKind::limit);
  const auto median = limit == nullptr ? 0 : limit->summary().median;
  return median > 0 ? static_cast<double>(timed.row->result.timing->bytes) / median : 0;
}

std::string roofline(const std::vector<Timed>& rows) {
  double least = HUGE_VAL;
  double most = 0;
  for (const auto& timed : rows)
    for (double rate : {timed.row->result.timing->gb_per_s(), limit_rate(timed)}) {
      if (rate > 0) least = std::min(least, rate);
      most = std::max(most, rate);
    }
  auto plane = make_plane(rows, least, most, "rate of each row below the rate of its limit, over bytes",
                          bandwidth_text);
  std::map<double, double> roof;  // the best limit of each size
  for (const auto& timed : rows) {
    auto& best = roof[static_cast<double>(timed.row->result.timing->bytes)];
    best = std::max(best, limit_rate(timed));
  }
  std::vector<std::pair<double, double>> line;
  for (const auto& [bytes, rate] : roof)
    if (rate > 0) line.emplace_back(plane.x.at(bytes), plane.y.at(rate));
  plane.picture.path(line, "roof");
  for (const auto& timed : rows) {
    const auto& timing = *timed.row->result.timing;
    plane.picture.dot(
        {plane.x.at(static_cast<double>(timing.bytes)), plane.y.at(timing.gb_per_s())},
        kind_of("dot", timed.colour),
        timed.name + ": " + bandwidth_text(timing.gb_per_s()) + " of " + bandwidth_text(limit_rate(timed)));
  }
  return plane.picture.str();
}

std::string latency(const std::vector<Timed>& rows) {
  double least = HUGE_VAL;
  double most = 0;
  for (const auto& timed : rows) {
    least = std::min(least, timed.cold.median);
    most = std::max(most, timed.cold.median);
  }
  auto plane =
      make_plane(rows, least, most, "time of one call over bytes", [](double ns) { return time_text(ns); });
  std::map<std::string, std::vector<std::pair<double, double>>> lines;
  std::map<std::string, std::size_t> colours;
  for (const auto& timed : rows) {
    const std::pair at{plane.x.at(static_cast<double>(timed.row->result.timing->bytes)),
                       plane.y.at(timed.cold.median)};
    lines[timed.group].push_back(at);
    colours[timed.group] = timed.colour;
    plane.picture.dot(at, kind_of("dot", timed.colour), timed.name + ": " + time_text(timed.cold.median));
  }
  for (auto& [group, points] : lines) {
    std::ranges::sort(points);
    plane.picture.path(points, kind_of("line", colours[group]));
  }
  return plane.picture.str();
}

// The samples of each row

std::string histograms(const std::vector<Timed>& rows) {
  constexpr double kLeft = 360;
  constexpr double kRight = kWidth - 130;
  constexpr double kRow = 40;
  constexpr std::size_t kBins = 48;
  Picture picture(kWidth, 10 + kRow * static_cast<double>(rows.size()),
                  "how the samples of each row are spread");
  double y = 4;
  for (const auto& timed : rows) {
    auto samples = timed.row->result.timing->find(SeriesKind::cold)->samples;
    std::ranges::sort(samples);
    const double low = samples.front();
    const double span = std::max(samples.back() - low, low * 1e-6 + 1e-9);
    std::array<double, kBins> bins{};
    for (double sample : samples)
      ++bins.at(std::min(static_cast<std::size_t>((sample - low) / span * kBins), kBins - 1));
    const double highest = *std::ranges::max_element(bins);
    const double width = (kRight - kLeft) / kBins;
    picture.box(kLeft, y, kRight - kLeft, kRow - 8, "track");
    for (std::size_t i = 0; i < kBins; ++i) {
      const double height = bins.at(i) / highest * (kRow - 10);
      picture.box(kLeft + static_cast<double>(i) * width, y + kRow - 8 - height, width - 1, height,
                  kind_of("bar", timed.colour));
    }
    const double median = kLeft + (timed.cold.median - low) / span * (kRight - kLeft);
    picture.line({median, y}, {median, y + kRow - 8}, "median");
    picture.text({kLeft - 10, y + 14}, timed.name, Anchor::end);
    picture.text({kLeft - 10, y + 28},
                 counted(samples.size(), "sample") + ", " + time_text(low) + " to " + time_text(low + span),
                 Anchor::end, "muted");
    picture.text({kRight + 8, y + 20}, time_text(timed.cold.median), Anchor::start);
    y += kRow;
  }
  return picture.str();
}

// Tables

std::string cell(const std::string& text, bool is_number) {
  return std::string(is_number ? "<td class=\"n\">" : "<td>") + xml_text(text) + "</td>";
}

std::string time_cell(const bench::Timing* timing, SeriesKind kind) {
  const auto* series = timing == nullptr ? nullptr : timing->find(kind);
  return cell(series == nullptr ? "" : time_text(series->summary().median), true);
}

std::string row_html(const bench::Results& results, const ResultRow& row) {
  const auto* timing = row.result.timing ? &*row.result.timing : nullptr;
  const auto* cold = timing == nullptr ? nullptr : timing->find(SeriesKind::cold);
  const auto share = row.result.share_of_limit();
  std::string out =
      "<tr>" + cell(results.subjects[row.subject].kernel, false) + cell(row.function, false) +
      cell(std::string(runtime::name_of(row.dtype)), false) +
      cell(row.sizes.empty() ? row.workload : row.workload + " " + bench::describe(row.sizes), false) +
      time_cell(timing, SeriesKind::cold) +
      cell(cold == nullptr ? "" : interval_text(cold->summary()), true) +
      cell(timing == nullptr || (timing->bytes == 0 && timing->flops == 0) ? "" : rate_text(*timing), true) +
      cell(share ? share_text(share->value) : "", true);
  for (auto kind :
       {SeriesKind::limit, SeriesKind::warm, SeriesKind::single, SeriesKind::floor, SeriesKind::reference})
    out += time_cell(timing, kind);
  const auto speedup = row.result.speedup();
  out += cell(speedup ? speedup_text(*speedup) : "", true);
  out += "<td" + std::string(bench::may_have_time(row.result.verdict) ? ">" : " class=\"bad\">") +
         std::string(bench::name_of(row.result.verdict)) +
         (row.result.reason.empty() ? "" : ": " + xml_text(row.result.reason)) + "</td></tr>\n";
  return out;
}

std::string rows_table(const bench::Results& results, std::uint32_t device) {
  std::string out = "<div class=\"scroll\"><table><thead><tr>";
  for (const char* title : {"kernel", "function", "type", "workload"})
    out += std::string("<th>") + title + "</th>";
  for (const char* title : {"time", "95 % interval", "rate", "of limit", "limit", "warm", "alone", "floor",
                            "reference", "speedup"})
    out += std::string("<th class=\"n\">") + title + "</th>";
  out += "<th>result</th></tr></thead><tbody>\n";
  for (const auto& row : results.rows)
    if (row.device == device) out += row_html(results, row);
  return out + "</tbody></table></div>\n";
}

std::string facts_table(const bench::Results& results) {
  std::string out = "<table><tbody>\n";
  auto fact = [&](const std::string& name, const std::string& value) {
    if (!value.empty()) out += "<tr>" + cell(name, false) + cell(value, false) + "</tr>\n";
  };
  fact("program", results.program);
  fact("started", results.started);
  fact("host", results.host);
  fact("job", results.job);
  fact("seed", std::to_string(results.settings.seed));
  for (const auto& subject : results.subjects)
    fact(subject.kernel, subject.variant + (subject.commit.empty() ? "" : " at " + subject.commit) +
                             ", SHA-256 " + subject.variant_sha256);
  for (const auto& one : results.machine)
    fact(one.name, one.value + " (" + one.source + ")");
  return out + "</tbody></table>\n";
}

std::string device_title(const bench::DeviceRecord& device) {
  auto out = device.name;
  if (!device.capability.empty()) out += ", compute capability " + device.capability;
  if (!device.driver.empty()) out += ", driver " + device.driver;
  return out;
}

std::string legend(const std::vector<Timed>& rows) {
  std::map<std::size_t, std::string> names;
  for (const auto& timed : rows)
    names[timed.colour] = timed.row->function;
  Picture picture(kWidth, 24, "which colour is which function");
  double x = 4;
  for (const auto& [colour, name] : names) {
    picture.dot({x + 4, 12}, kind_of("dot", colour), {});
    picture.text({x + 14, 16}, name, Anchor::start);
    x += 40 + 7.2 * static_cast<double>(name.size());
  }
  return picture.str();
}

std::string device_html(const bench::Results& results, std::uint32_t device) {
  const auto rows = timed_rows(results, device);
  // Only where it is known what a call must move can there be a limit or a rate.
  auto limited = rows;
  std::erase_if(limited, [](const Timed& timed) { return timed.row->result.timing->bytes == 0; });
  std::string out;
  if (!rows.empty()) out += chart(legend(rows));
  if (!limited.empty()) {
    out +=
        section("How close to the limit",
                "Time of the fastest plain stream of the same traffic, as a share of the time of the kernel. "
                "The line is the 95 % interval.",
                chart(ratio_bars(limited, &bench::CaseResult::share_of_limit, 100, share_text,
                                 "time of the limit as a share of the time of each row")));
    out +=
        section("Roofline of the memory", "Each dot is a row; the dashed line is what plain streams reach.",
                chart(roofline(limited)));
    out += section("Latency over size", "Time of one call, nothing of it in the cache.",
                   chart(latency(limited)));
  }
  if (any_has(rows, &bench::CaseResult::speedup))
    out += section("Against the reference",
                   "Time of the reference over the time of the kernel: 2 is twice as fast.",
                   chart(ratio_bars(rows, &bench::CaseResult::speedup, 1, ratio_text,
                                    "time of the reference over the time of each row")));
  if (!rows.empty()) {
    out += section("Samples", "From the fastest to the slowest sample of each row; the line is the median.",
                   chart(histograms(rows)));
  }
  return out + section("Every row", "A wrong kernel has no time.", rows_table(results, device));
}

// Beside an earlier run

std::size_t colour_of(bench::Change change) {
  constexpr std::size_t kGreen = 2;
  constexpr std::size_t kRed = 4;
  constexpr std::size_t kGrey = 7;
  return change == bench::Change::slower ? kRed : change == bench::Change::faster ? kGreen : kGrey;
}

std::string compared_name(const bench::ComparedRow& row) {
  return row.function + (row.dtype ? " " + std::string(runtime::name_of(*row.dtype)) : "") + " " +
         row.workload;
}

/// A bar from 0 to the change of each row, with its interval: to the right is slower.
std::string change_bars(const bench::Comparison& comparison) {
  constexpr double kLeft = 360;
  constexpr double kRight = kWidth - 130;
  constexpr double kRow = 22;
  constexpr double kPercent = 100;
  std::vector<const bench::ComparedRow*> shown;
  double low = -kPercent * comparison.threshold;
  double high = -low;
  for (const auto& row : comparison.rows) {
    if (!row.ratio || !std::isfinite(row.ratio->high)) continue;
    shown.push_back(&row);
    low = std::min(low, kPercent * (row.ratio->low - 1));
    high = std::max(high, kPercent * (row.ratio->high - 1));
  }
  const double bottom = 10 + kRow * static_cast<double>(shown.size());
  Picture picture(kWidth, bottom + 28, "change of the time of each row");
  const auto axis = Axis::linear(low, high, kLeft, kRight);
  for (double tick : axis.ticks()) {
    picture.line({axis.at(tick), 6}, {axis.at(tick), bottom}, "grid");
    picture.text({axis.at(tick), bottom + 18}, decimal(tick, 1) + " %", Anchor::middle, "muted");
  }
  double y = 8;
  for (const auto* row : shown) {
    const double change = axis.at(kPercent * (row->ratio->value - 1));
    picture.text({kLeft - 10, y + 14}, compared_name(*row), Anchor::end);
    picture.box(std::min(axis.at(0), change), y + 3, std::abs(change - axis.at(0)), 14,
                kind_of("bar", colour_of(row->change)),
                compared_name(*row) + ": " + change_text(*row->ratio));
    picture.line({axis.at(kPercent * (row->ratio->low - 1)), y + 10},
                 {axis.at(kPercent * (row->ratio->high - 1)), y + 10}, "range");
    picture.text({kRight + 12, y + 14}, std::string(bench::name_of(row->change)), Anchor::start);
    y += kRow;
  }
  picture.line({axis.at(0), 6}, {axis.at(0), bottom}, "axis");
  return picture.str();
}

std::string comparison_table(const bench::Comparison& comparison) {
  std::string out = "<div class=\"scroll\"><table><thead><tr>";
  for (const char* title : {"kernel", "row", "before", "now", "change", "verdict"})
    out += std::string("<th>") + title + "</th>";
  out += "</tr></thead><tbody>\n";
  for (const auto& row : comparison.rows)
    out +=
        "<tr>" + cell(row.kernel, false) + cell(compared_name(row), false) +
        cell(row.before ? time_text(row.before->median) : "", true) +
        cell(row.after ? time_text(row.after->median) : "", true) +
        cell(row.ratio ? change_text(*row.ratio) : "", true) +
        cell(std::string(bench::name_of(row.change)) + (row.reason.empty() ? "" : ": " + row.reason), false) +
        "</tr>\n";
  return out + "</tbody></table></div>\n";
}

std::string comparison_section(const bench::Comparison& comparison) {
  std::string note =
      "Time of each row beside the earlier run, with its interval; to the right is slower. Up to " +
      decimal(100 * comparison.threshold, 1) + " % is the same.";
  for (const auto& difference : comparison.differences)
    note += " Not alike: " + difference + ".";
  return section("What changed", note, chart(change_bars(comparison)) + comparison_table(comparison));
}

}  // namespace

std::string results_html(const bench::Results& results, const bench::Comparison* comparison) {
  std::string out =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'\"/>\n"
      "<title>kernels bench</title>\n<style>" +
      std::string(kStyle) + colour_styles() + "</style>\n</head>\n<body>\n<h1>kernels bench</h1>\n";
  if (comparison != nullptr) out += comparison_section(*comparison);
  for (std::uint32_t i = 0; i < results.devices.size(); ++i)
    out += "<p>" + xml_text(device_title(results.devices[i])) + "</p>\n" + device_html(results, i);
  return out + section("Machine and run", "What was measured, with what, where.", facts_table(results)) +
         "</body>\n</html>\n";
}

}  // namespace kernels::app
