#include "bench_visual.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "kernels/base/file.h"

#include "rasterizer.h"
#include "view_bench_visual.h"

namespace kernels::app {

namespace fs = std::filesystem;

namespace {

/// All frames are in memory when they are joined: pictures of many rows have smaller ones.
int frame_width(double aspect) {
  constexpr double kWidth = 960;
  constexpr double kPixels = 2e6;
  return static_cast<int>(std::clamp(std::sqrt(kPixels / aspect), 1.0, kWidth));
}

/// Writes the files of one run; those of other programs come to be in a folder of their own first.
class PictureWriter {
 public:
  PictureWriter(const SpeedPictures& pictures, fs::path base, std::optional<Rasterizer> rasterizer)
      : pictures_(pictures), base_(std::move(base)), rasterizer_(std::move(rasterizer)) {}

  Status write(Theme theme) {
    const std::string begin = base_.string() + (theme == Theme::light ? "_light" : "_dark");
    for (const auto& [end, svg] : {std::pair{"_latency", pictures_.latency(theme)},
                                   std::pair{"_throughput", pictures_.throughput(theme)}}) {
      if (auto saved = write_file(begin + end + ".svg", svg, Durable::no); !saved) return saved;
      if (auto saved = rasterizer_ ? write_png(begin + end) : Status(); !saved) return saved;
    }
    const auto animation = begin + "_animation";
    auto saved = write_file(animation + ".svg", pictures_.animation(theme), Durable::no);
    return saved && rasterizer_ ? write_gif(animation + ".gif", theme) : saved;
  }

 private:
  Status write_png(const std::string& stem) const {
    constexpr int kWidth = 1600;
    const fs::path unfinished = stem + "." + random_suffix() + ".png";
    const Unfinished guard(unfinished);
    if (auto drawn = rasterizer_->png(stem + ".svg", kWidth, unfinished); !drawn) return drawn;
    return rename_path(unfinished, stem + ".png");
  }

  Status write_gif(const fs::path& file, Theme theme) const {
    const int width = frame_width(pictures_.aspect());
    constexpr int kFrames = 40;
    constexpr double kHundredths = 100;
    const fs::path folder = file.string() + "." + random_suffix();
    const Unfinished guard(folder);
    if (auto made = make_folders(folder); !made) return made;
    std::vector<fs::path> frames;
    for (int i = 0; i < kFrames; ++i) {
      const auto svg = folder / (std::to_string(i) + ".svg");
      const auto moment = static_cast<double>(i) / kFrames;
      if (auto saved = write_file(svg, pictures_.animation_at(moment, theme), Durable::no); !saved)
        return saved;
      frames.push_back(folder / (std::to_string(i) + ".png"));
      if (auto drawn = rasterizer_->png(svg, width, frames.back()); !drawn) return drawn;
    }
    const auto whole = folder / "whole.gif";
    constexpr int kDelay = static_cast<int>(SpeedPictures::kRoundSeconds * kHundredths / kFrames);
    if (auto joined = rasterizer_->gif(frames, kDelay, whole); !joined) return joined;
    return rename_path(whole, file);
  }

  const SpeedPictures& pictures_;
  fs::path base_;
  std::optional<Rasterizer> rasterizer_;
};

}  // namespace

Status save_pictures(const std::string& name, const bench::Results& results, bool rasterized, Reporter& out) {
  const SpeedPictures pictures(results);
  if (pictures.empty()) {
    out.warning("no row has the time of a reference or a limit, so there are no pictures for `--visual`");
    return {};
  }
  const auto base = fs::path("media") / name;
  std::optional<Rasterizer> rasterizer;
  if (rasterized) {
    auto found = Rasterizer::find();
    if (!found) return std::unexpected(std::move(found).error());
    rasterizer = std::move(*found);
  }
  PictureWriter writer(pictures, base, std::move(rasterizer));
  for (auto theme : {Theme::light, Theme::dark})
    if (auto written = writer.write(theme); !written)
      return fail(std::move(written).error().while_doing("drawing the pictures of `--visual`"));
  out.status("pictures: " + base.string() + "_{light,dark}_{latency,throughput,animation}.svg" +
             (rasterized ? ", .png and .gif" : ""));
  return {};
}

}  // namespace kernels::app
