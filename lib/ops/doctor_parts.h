#pragma once

#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "kernels/ops/doctor.h"

namespace kernels::ops {

/// Tries what a cache needs in the folder. Leaves nothing behind, also not a folder that was not there
/// before.
CacheReport try_cache(const hub::Settings& settings);
std::vector<Finding> cache_findings(const CacheReport& cache);

TrustReport try_trust(const machine::Environment& environment);
std::vector<Finding> trust_findings(const TrustReport& trust);

/// The name of a file system by the number of statfs(2).
std::string file_system_name(std::uint64_t magic);

/// A proxy's address without user and password.
std::string without_user_info(const std::string& address);

struct RouteRequest {
  const hub::Settings& settings;
  std::string user_agent;
  RepoId repo;
};
Result<std::vector<RouteReport>> try_routes(const RouteRequest& request, const std::stop_token& stop);

/// `chosen`: somebody named the repository, so that it should exist.
enum class RepoIs { usual, chosen };
std::vector<Finding> route_findings(const std::vector<RouteReport>& routes, RepoIs repo);

}  // namespace kernels::ops
