#pragma once

#include <filesystem>
#include <vector>

#include "kernels/base/error.h"

namespace kernels::app {

/// Makes pixels of SVG files, with two programs of this machine: `rsvg-convert`, and ImageMagick, which is
/// called `magick` or `convert`.
class Rasterizer {
 public:
  /// Looks on the PATH. Errors  io: one of them is not there, and which package has it.
  static Result<Rasterizer> find();

  /// Writes a picture of a width in pixels. Errors  io: the program failed; what it says went to stderr.
  Status png(const std::filesystem::path& svg, int width, const std::filesystem::path& to) const;
  /// Writes an animation without end of frames that are PNG files, each for so many hundredths of a second.
  /// Errors  as above.
  Status gif(const std::vector<std::filesystem::path>& frames, int hundredths,
             const std::filesystem::path& to) const;

 private:
  std::filesystem::path draw_;
  std::filesystem::path join_;
};

}  // namespace kernels::app
