#pragma once

#include <chrono>
#include <string>

#include "kernels/ops/bundle.h"

namespace kernels::app {

enum class BundleDetail { variants, files };

/// A table with a row for each variant, or for each file.
std::string bundle_contents_text(const ops::BundleContents& contents, BundleDetail detail);
/// Schema `kernels.bundle-contents/1`. `verified`: every byte was read and is right, not only the index.
enum class BundleReading { index, verified };
std::string bundle_contents_json(const ops::BundleContents& contents, BundleReading reading);

std::string bundle_verified_text(const ops::BundleContents& contents, std::chrono::milliseconds took);

std::string bundle_import_text(const ops::BundleImportReport& report, std::chrono::milliseconds took);
/// Schema `kernels.import/1`.
std::string bundle_import_json(const ops::BundleImportReport& report);

}  // namespace kernels::app
