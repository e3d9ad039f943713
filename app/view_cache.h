#pragma once

#include <string>
#include <vector>

#include "kernels/ops/cache_care.h"

namespace kernels::app {

std::string cache_list_text(const std::vector<ops::CachedRepository>& repositories);
std::string cache_list_json(const std::string& cache, const std::vector<ops::CachedRepository>& repositories);

std::string cache_verify_text(const ops::CacheVerifyReport& report);
std::string cache_verify_json(const std::string& cache, const ops::CacheVerifyReport& report);

std::string cache_prune_text(const std::vector<ops::PrunedFile>& pruned, ops::DryRun dry);
std::string cache_prune_json(const std::string& cache, const std::vector<ops::PrunedFile>& pruned,
                             ops::DryRun dry);

}  // namespace kernels::app
