#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/bench/results.h"

#include "chart.h"

// What was measured as pictures for a README or a slide: each row beside its reference, or where none was
// timed, beside the limit of the machine. They are SVG files of their own, which ask for nothing.

namespace kernels::app {

enum class Theme { light, dark };

/// The pictures of one run: a pair of bars for each row that has a time and another to put beside it, to a
/// scale of its own, as rows may be a thousand times apart. Texts of kernels are hostile and are escaped.
class SpeedPictures {
 public:
  explicit SpeedPictures(const bench::Results& results);

  /// Whether there is no such row.
  bool empty() const { return rows_.empty(); }

  /// Time of one call; shorter is better.
  std::string latency(Theme theme) const;
  /// Calls in a second; longer is better.
  std::string throughput(Theme theme) const;
  /// Each row runs against what is beside it, again and again: a picture that moves.
  std::string animation(Theme theme) const;
  /// The same at one moment of a round, from 0 to 1, standing still.
  std::string animation_at(double moment, Theme theme) const;

  /// Height of each picture over its width.
  double aspect() const;

  /// How long a round of the animation lasts.
  static constexpr double kRoundSeconds = 4;

 private:
  struct Row {
    std::string name;
    double ns;
    double other_ns;
    std::string verdict;  ///< `1.25x as fast`, `97.2 % of the limit`
    std::string kind;     ///< of the other: `reference` or `limit`
  };
  static std::optional<Row> row_of(const bench::ResultRow& row);
  bool any_of(std::string_view kind) const;

  /// `amount` says a time in words; `draw_bars(picture, row, y of the kernel, y of the other)`.
  template <class DrawBars>
  std::string drawn(Theme theme, const std::string& what, std::string (*amount)(double),
                    const DrawBars& draw_bars) const;
  /// `draw_runner(picture, y, kind, share of a round in which it is done)`.
  template <class DrawRunner>
  std::string race(Theme theme, const DrawRunner& draw_runner) const;

  /// With the title, the machine, what the bars are, and room for all pairs of them.
  Picture empty_picture(const std::string& what) const;

  std::string title_;
  std::string machine_;
  std::vector<Row> rows_;
};

}  // namespace kernels::app
