#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "kernels/bundle/write.h"
#include "kernels/ops/download.h"

namespace kernels::app {

/// Why nothing can be downloaded for a kernel: each variant with its reason.
Error no_variant_error(const ops::KernelChoice& choice);

std::string plan_text(const ops::DownloadPlan& plan);
/// Schema `kernels.download-plan/1`.
std::string plan_json(const ops::DownloadPlan& plan);

std::string download_text(const ops::DownloadPlan& plan, const ops::DownloadReport& report,
                          std::chrono::milliseconds took);
/// Schema `kernels.download/1`. `bundle` is null unless one was made.
std::string download_json(const ops::DownloadPlan& plan, const ops::DownloadReport& report,
                          const std::optional<bundle::PackReport>& packed);
/// What was packed, and what came of it.
std::string bundle_text(const bundle::PackReport& packed, const std::string& file);

}  // namespace kernels::app
