#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Pieces of charts as SVG. Colours and type are classes of the page that holds them.

namespace kernels::app {

/// Where a value is on an axis that runs from one place of the picture to another.
class Axis {
 public:
  /// From 0 or below the lowest value, in steps of 1, 2 or 5 times a power of ten.
  static Axis linear(double low, double high, double from, double to);
  /// From 1, 2 or 5 times a power of ten to another one; values of 0 and less are at its beginning.
  static Axis logarithmic(double low, double high, double from, double to);

  double at(double value) const;
  std::vector<double> ticks() const;

 private:
  double low_ = 0;
  double high_ = 1;
  double from_ = 0;
  double to_ = 1;
  double step_ = 1;
  bool is_logarithmic_ = false;
};

enum class Anchor { start, middle, end };

/// An SVG picture that is built piece by piece. Texts are escaped here.
class Picture {
 public:
  Picture(double width, double height, std::string description);

  void line(std::pair<double, double> from, std::pair<double, double> to, std::string_view kind);
  void path(const std::vector<std::pair<double, double>>& points, std::string_view kind);
  void box(double x, double y, double width, double height, std::string_view kind,
           const std::string& hint = {});
  /// A box that grows from nothing to its width in a share of `seconds`, stays so for the rest, and begins
  /// again.
  void growing_box(double x, double y, double width, double height, std::string_view kind, double share,
                   double seconds);
  void dot(std::pair<double, double> at, std::string_view kind, const std::string& hint);
  void text(std::pair<double, double> at, const std::string& text, Anchor anchor,
            std::string_view kind = "label");

  /// For a page, whose style it takes.
  std::string str() const;
  /// For a file of its own: with its size in pixels, a style sheet and a ground of the class `ground`.
  std::string standing_alone(std::string_view style) const;

 private:
  std::string head() const;

  double width_;
  double height_;
  std::string description_;
  std::string body_;
};

}  // namespace kernels::app
