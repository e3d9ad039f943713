#include "view_bench_visual.h"

#include <algorithm>

#include "chart.h"
#include "measures.h"
#include "text.h"

namespace kernels::app {

using bench::SeriesKind;

namespace {

constexpr double kPictureWidth = 960;
constexpr double kLeft = 24;
constexpr double kRight = kPictureWidth - 130;  // behind it: what a bar stands for
constexpr double kLength = kRight - kLeft;      // of the longest bar
constexpr double kTop = 74;
constexpr double kRow = 70;
constexpr double kBar = 16;
constexpr double kBottom = 8;

/// The slower of a pair is there when so much of a round is over; the rest is a pause.
constexpr double kFinish = 0.8;

std::string style_of(Theme theme) {
  const bool is_dark = theme == Theme::dark;
  const auto colour = [&](const char* light, const char* dark) {
    return std::string(is_dark ? dark : light);
  };
  return "text { fill: " + colour("#1b1f24", "#e8ebee") +
         "; font-family: system-ui, 'DejaVu Sans', sans-serif; font-size: 13px; }\n"
         ".title { font-size: 18px; font-weight: bold; }\n.name { font-weight: bold; }\n"
         ".muted { fill: " +
         colour("#5d6672", "#9aa4af") + "; }\n.ground { fill: " + colour("#ffffff", "#14171a") +
         "; }\n.track { fill: " + colour("#f4f6f8", "#1d2126") +
         "; }\n.kernel { fill: " + colour("#0b6bcb", "#6db3ff") +
         "; }\n.reference { fill: " + colour("#9aa4af", "#5d6672") +
         "; }\n.limit { fill: " + colour("#1a7f4b", "#62d394") + "; }\n";
}

/// `812 calls/s`, `12.3 k calls/s`, `1.20 M calls/s`.
std::string calls_text(double ns) {
  constexpr double kThousand = 1e3;
  constexpr double kMillion = 1e6;
  constexpr double kSecond = 1e9;
  const double per_second = kSecond / ns;
  if (per_second >= kMillion) return decimal(per_second / kMillion, 2) + " M calls/s";
  if (per_second >= kThousand) return decimal(per_second / kThousand, 1) + " k calls/s";
  return decimal(per_second, 0) + " calls/s";
}

std::string machine_of(const bench::Results& results) {
  std::vector<std::string> names;
  for (const auto& device : results.devices)
    if (std::ranges::find(names, device.name) == names.end()) names.push_back(device.name);
  std::string out;
  for (const auto& name : names)
    out += (out.empty() ? "" : ", ") + name;
  return out;
}

}  // namespace

SpeedPictures::SpeedPictures(const bench::Results& results)
    : title_(results.subjects.size() == 1 ? results.subjects.front().kernel
                                          : counted(results.subjects.size(), "kernel")),
      machine_(machine_of(results)) {
  for (const auto& row : results.rows) {
    auto pair = row_of(row);
    if (!pair) continue;
    if (results.subjects.size() > 1) pair->name.insert(0, results.subjects[row.subject].kernel + ": ");
    if (results.devices.size() > 1)
      pair->name += ", device " + std::to_string(results.devices[row.device].index);
    rows_.push_back(std::move(*pair));
  }
}

std::optional<SpeedPictures::Row> SpeedPictures::row_of(const bench::ResultRow& row) {
  const auto speedup = row.result.speedup();
  const auto share = row.result.share_of_limit();
  if (!speedup && !share) return std::nullopt;
  const auto median = [&](SeriesKind kind) { return row.result.timing->find(kind)->summary().median; };
  Row out{.name = function_text(row) + " " + row.workload,
          .ns = median(SeriesKind::cold),
          .other_ns = median(speedup ? SeriesKind::reference : SeriesKind::limit),
          .verdict =
              speedup ? ratio_text(speedup->value) + " as fast" : share_text(share->value) + " of the limit",
          .kind = speedup ? "reference" : "limit"};
  if (out.ns <= 0 || out.other_ns <= 0) return std::nullopt;
  return out;
}

bool SpeedPictures::any_of(std::string_view kind) const {
  return std::ranges::any_of(rows_, [&](const Row& row) { return row.kind == kind; });
}

double SpeedPictures::aspect() const {
  return (kTop + kRow * static_cast<double>(rows_.size()) + kBottom) / kPictureWidth;
}

Picture SpeedPictures::empty_picture(const std::string& what) const {
  constexpr double kSwatch = 12;
  Picture picture(kPictureWidth, kPictureWidth * aspect(), title_ + ": " + what);
  picture.text({kLeft, 30}, title_, Anchor::start, "title");
  picture.text({kLeft, 52}, machine_, Anchor::start, "muted");
  picture.text({kPictureWidth - kLeft, 30}, what, Anchor::end, "muted");
  double x = kPictureWidth - kLeft;
  for (const char* kind : {"limit", "reference", "kernel"}) {
    if (std::string_view(kind) != "kernel" && !any_of(kind)) continue;
    x -= kSwatch + 8 * static_cast<double>(std::string_view(kind).size()) + 12;
    picture.box(x, 42, kSwatch, kSwatch, kind);
    picture.text({x + kSwatch + 6, 52}, kind, Anchor::start, "muted");
  }
  return picture;
}

namespace {

/// Where the two bars of a pair are.
struct Lane {
  double kernel_y;
  double other_y;
};

Lane lane_of(std::size_t row) {
  const double top = kTop + kRow * static_cast<double>(row);
  return {.kernel_y = top + 22, .other_y = top + 22 + kBar + 3};
}

void draw_words(Picture& picture, const Lane& lane, const std::string& name, const std::string& verdict,
                const std::string& kernel, const std::string& other) {
  constexpr double kBaseline = 13;
  picture.text({kLeft, lane.kernel_y - 7}, name, Anchor::start, "name");
  picture.text({kPictureWidth - kLeft, lane.kernel_y - 7}, verdict, Anchor::end, "name");
  picture.text({kRight + 12, lane.kernel_y + kBaseline}, kernel, Anchor::start, "value");
  picture.text({kRight + 12, lane.other_y + kBaseline}, other, Anchor::start, "muted");
}

/// How far the bars of a pair reach, of 1.
struct Reach {
  double kernel;
  double other;
};

Reach reach_of_times(double ns, double other_ns) {
  const double slower = std::max(ns, other_ns);
  return {.kernel = ns / slower, .other = other_ns / slower};
}

void draw_bar(Picture& picture, double y, double reach, std::string_view kind) {
  picture.box(kLeft, y, kLength * reach, kBar, kind);
}

void draw_pair(Picture& picture, double kernel_y, double other_y, const Reach& reach,
               std::string_view other_kind) {
  draw_bar(picture, kernel_y, reach.kernel, "kernel");
  draw_bar(picture, other_y, reach.other, other_kind);
}

}  // namespace

template <class DrawBars>
std::string SpeedPictures::drawn(Theme theme, const std::string& what, std::string (*amount)(double),
                                 const DrawBars& draw_bars) const {
  auto picture = empty_picture(what);
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    const auto& row = rows_[i];
    const auto lane = lane_of(i);
    draw_bars(picture, row, lane.kernel_y, lane.other_y);
    draw_words(picture, lane, row.name, row.verdict, amount(row.ns), amount(row.other_ns));
  }
  return picture.standing_alone(style_of(theme));
}

std::string SpeedPictures::latency(Theme theme) const {
  return drawn(theme, "time of a call: shorter is better", time_text,
               [](Picture& picture, const Row& row, double kernel_y, double other_y) {
                 draw_pair(picture, kernel_y, other_y, reach_of_times(row.ns, row.other_ns), row.kind);
               });
}

std::string SpeedPictures::throughput(Theme theme) const {
  return drawn(theme, "calls in a second: longer is better", calls_text,
               [](Picture& picture, const Row& row, double kernel_y, double other_y) {
                 // The one of the two that is slower makes the fewer calls.
                 draw_pair(picture, kernel_y, other_y, reach_of_times(row.other_ns, row.ns), row.kind);
               });
}

template <class DrawRunner>
std::string SpeedPictures::race(Theme theme, const DrawRunner& draw_runner) const {
  return drawn(theme, "who is done first", time_text,
               [&](Picture& picture, const Row& row, double kernel_y, double other_y) {
                 const auto reach = reach_of_times(row.ns, row.other_ns);
                 for (double y : {kernel_y, other_y})
                   draw_bar(picture, y, 1, "track");
                 draw_runner(picture, kernel_y, "kernel", kFinish * reach.kernel);
                 draw_runner(picture, other_y, row.kind, kFinish * reach.other);
               });
}

std::string SpeedPictures::animation(Theme theme) const {
  return race(theme, [](Picture& picture, double y, std::string_view kind, double finish) {
    picture.growing_box(kLeft, y, kLength, kBar, kind, finish, kRoundSeconds);
  });
}

std::string SpeedPictures::animation_at(double moment, Theme theme) const {
  return race(theme, [moment](Picture& picture, double y, std::string_view kind, double finish) {
    draw_bar(picture, y, std::min(moment / finish, 1.0), kind);
  });
}

}  // namespace kernels::app
