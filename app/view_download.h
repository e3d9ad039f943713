#pragma once

#include <chrono>
#include <string>

#include "kernels/ops/download.h"

namespace kernels::app {

/// Why nothing can be downloaded for a kernel: each variant with its reason.
Error no_variant_error(const ops::KernelChoice& choice);

std::string plan_text(const ops::DownloadPlan& plan);
/// Schema `kernels.download-plan/1`.
std::string plan_json(const ops::DownloadPlan& plan);

std::string download_text(const ops::DownloadPlan& plan, const ops::DownloadReport& report,
                          std::chrono::milliseconds took);
/// Schema `kernels.download/1`.
std::string download_json(const ops::DownloadPlan& plan, const ops::DownloadReport& report);

}  // namespace kernels::app
