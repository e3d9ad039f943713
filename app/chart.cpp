#include "chart.h"

#include <algorithm>
#include <cmath>

#include "markup.h"
#include "measures.h"

namespace kernels::app {

namespace {

/// 1, 2 or 5 times a power of ten, so that about five steps cover the span.
double step_for(double span) {
  constexpr double kSteps = 5;
  const double power = std::pow(10.0, std::floor(std::log10(span / kSteps)));
  for (double factor : {1.0, 2.0, 5.0})
    if (span / (factor * power) <= kSteps) return factor * power;
  return 10 * power;
}

/// The nearest 1, 2 or 5 times a power of ten that is not above.
double round_down(double value) {
  const double power = std::pow(10.0, std::floor(std::log10(value)));
  for (double factor : {5.0, 2.0})
    if (factor * power <= value * (1 + 1e-9)) return factor * power;
  return power;
}

double round_up(double value) {
  const double below = round_down(value);
  if (below >= value * (1 - 1e-9)) return below;
  const double power = std::pow(10.0, std::floor(std::log10(below * (1 + 1e-9))));
  const double factor = below / power;
  return factor < 1.5 ? 2 * power : factor < 3 ? 5 * power : 10 * power;
}

/// Within the range that an axis is drawn for: a results file may hold any number.
double bounded(double value, double least, double most) {
  return std::isnan(value) ? least : std::clamp(value, least, most);
}

std::string number(double value) {
  return decimal(std::isfinite(value) ? value : 0, 2);
}

std::string attribute(const char* name, double value) {
  return std::string(" ") + name + "=\"" + number(value) + "\"";
}

std::string class_of(std::string_view kind) {
  return " class=\"" + std::string(kind) + "\"";
}

std::string hinted(const std::string& shape, const std::string& hint) {
  if (hint.empty()) return shape + "/>\n";
  return shape + "><title>" + xml_text(hint) + "</title></" + shape.substr(1, shape.find(' ') - 1) + ">\n";
}

}  // namespace

Axis Axis::linear(double low, double high, double from, double to) {
  constexpr double kMost = 1e15;
  low = bounded(low, -kMost, kMost);
  high = bounded(high, 0, kMost);
  Axis axis;
  axis.low_ = std::min(low, 0.0);
  axis.step_ = step_for(std::max(high - axis.low_, 1e-12));
  axis.low_ = std::floor(axis.low_ / axis.step_) * axis.step_;  // so that 0 is a step
  axis.high_ = std::max(std::ceil(high / axis.step_) * axis.step_, axis.low_ + axis.step_);
  axis.from_ = from;
  axis.to_ = to;
  return axis;
}

Axis Axis::logarithmic(double low, double high, double from, double to) {
  constexpr double kLeast = 1e-12;
  constexpr double kMost = 1e18;
  Axis axis;
  axis.is_logarithmic_ = true;
  axis.low_ = round_down(bounded(low, kLeast, kMost));
  axis.high_ = round_up(bounded(high, kLeast, kMost));
  if (axis.high_ <= axis.low_) axis.high_ = round_up(1.5 * axis.low_);
  axis.from_ = from;
  axis.to_ = to;
  return axis;
}

double Axis::at(double value) const {
  double share = (value - low_) / (high_ - low_);
  if (is_logarithmic_) share = std::log(std::max(value, low_) / low_) / std::log(high_ / low_);
  return from_ + std::clamp(share, 0.0, 1.0) * (to_ - from_);
}

std::vector<double> Axis::ticks() const {
  std::vector<double> out;
  constexpr double kRounding = 1e-9;
  if (is_logarithmic_) {
    // Every decade, and in between where there is room.
    constexpr double kRoomy = 300;
    const auto first = static_cast<int>(std::floor(std::log10(low_)));
    const auto last = static_cast<int>(std::floor(std::log10(high_)));
    for (int decade = first; decade <= last; ++decade)
      for (double factor : {1.0, 2.0, 5.0})
        if (const double tick = factor * std::pow(10.0, decade); (factor == 1 || high_ / low_ < kRoomy) &&
                                                                 tick >= low_ * (1 - kRounding) &&
                                                                 tick <= high_ * (1 + kRounding))
          out.push_back(tick);
  } else {
    for (int i = 0; low_ + i * step_ <= high_ + kRounding * step_; ++i)
      out.push_back(low_ + i * step_);
  }
  return out;
}

Picture::Picture(double width, double height, std::string description)
    : width_(width), height_(height), description_(std::move(description)) {}

void Picture::line(std::pair<double, double> from, std::pair<double, double> to, std::string_view kind) {
  body_ += "<line" + class_of(kind) + attribute("x1", from.first) + attribute("y1", from.second) +
           attribute("x2", to.first) + attribute("y2", to.second) + "/>\n";
}

void Picture::path(const std::vector<std::pair<double, double>>& points, std::string_view kind) {
  if (points.size() < 2) return;
  std::string text;
  for (const auto& [x, y] : points)
    text += (text.empty() ? "M" : " L") + number(x) + " " + number(y);
  body_ += "<path" + class_of(kind) + " d=\"" + text + "\"/>\n";
}

void Picture::box(double x, double y, double width, double height, std::string_view kind,
                  const std::string& hint) {
  body_ += hinted("<rect" + class_of(kind) + attribute("x", x) + attribute("y", y) +
                      attribute("width", std::max(width, 0.0)) + attribute("height", std::max(height, 0.0)),
                  hint);
}

void Picture::growing_box(double x, double y, double width, double height, std::string_view kind,
                          double share, double seconds) {
  const auto full = number(std::max(width, 0.0));
  body_ += "<rect" + class_of(kind) + attribute("x", x) + attribute("y", y) + " width=\"" + full + "\"" +
           attribute("height", height) + "><animate attributeName=\"width\" values=\"0;" + full + ";" + full +
           "\" keyTimes=\"0;" + decimal(share, 4) + ";1\" dur=\"" + number(seconds) +
           "s\" repeatCount=\"indefinite\"/></rect>\n";
}

void Picture::dot(std::pair<double, double> at, std::string_view kind, const std::string& hint) {
  body_ += hinted(
      "<circle" + class_of(kind) + attribute("cx", at.first) + attribute("cy", at.second) + " r=\"4\"", hint);
}

void Picture::text(std::pair<double, double> at, const std::string& text, Anchor anchor,
                   std::string_view kind) {
  const char* name = anchor == Anchor::start ? "start" : anchor == Anchor::middle ? "middle" : "end";
  body_ += "<text" + class_of(kind) + attribute("x", at.first) + attribute("y", at.second) +
           " text-anchor=\"" + name + "\">" + xml_text(text) + "</text>\n";
}

std::string Picture::head() const {
  return "<svg role=\"img\" aria-label=\"" + xml_text(description_) + "\" viewBox=\"0 0 " + number(width_) +
         " " + number(height_) + "\" xmlns=\"http://www.w3.org/2000/svg\"";
}

std::string Picture::str() const {
  return head() + ">\n" + body_ + "</svg>\n";
}

std::string Picture::standing_alone(std::string_view style) const {
  return head() + attribute("width", width_) + attribute("height", height_) + ">\n<style>" +
         std::string(style) + "</style>\n<rect class=\"ground\"" + attribute("width", width_) +
         attribute("height", height_) + "/>\n" + body_ + "</svg>\n";
}

}  // namespace kernels::app
