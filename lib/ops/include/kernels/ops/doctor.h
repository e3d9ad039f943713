#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/bundle/sandbox.h"
#include "kernels/hub/http.h"
#include "kernels/hub/settings.h"
#include "kernels/machine/detect.h"
#include "kernels/model/project.h"
#include "kernels/model/repo.h"

namespace kernels::ops {

enum class Severity {
  note,     ///< worth knowing; kernels work
  problem,  ///< keeps kernels from working, or the Hub from being used
};

/// Something that is not well, and what to do.
struct Finding {
  Severity severity = Severity::note;
  std::string what;
  std::string fix;
};

/// One setting of the Hub with where it is from: a variable, a file, a flag, `default`. Never a secret.
struct HubSetting {
  std::string name;
  std::string value;
  std::string source;
  machine::Certainty certainty = machine::Certainty::read;  ///< assumed: a default
};

enum class RouteState {
  ok,
  refused,    ///< an answer, but not the one that is needed: `status`
  failed,     ///< no answer: `failure`
  not_tried,  ///< needs the answer of another route, which did not come
};

/// One way of asking the Hub, tried alone.
struct RouteReport {
  std::string name = {};  ///< `repository`, `file`, `organisation`, …
  std::string url = {};   ///< as it is shown: without secrets
  RouteState state = RouteState::not_tried;
  int status = 0;  ///< 0: no answer
  hub::TransferFailure failure = hub::TransferFailure::none;
  std::string host = {};  ///< that of the last hop
  bool redirected = false;
  std::chrono::milliseconds time{0};
  std::string detail = {};  ///< what the answer or the failure said
  std::string hint = {};
};

/// The answer to "does it work here?"; `unknown` where it could not be tried.
enum class Works { no, yes, unknown };

/// The cache folder as it is, and what works in it. Everything is tried in a folder that is removed again.
struct CacheReport {
  std::filesystem::path folder = {};
  std::string source = {};
  bool exists = false;  ///< before the trial
  Works writable = Works::unknown;
  std::string failure = {};      ///< why it cannot be written
  std::string file_system = {};  ///< `ext4`, `nfs`, …; for unknown ones the number that the kernel gives
  std::optional<std::uint64_t> free_bytes = {};
  Works locks = Works::unknown;  ///< a lock keeps a second one out
  Works symlinks = Works::unknown;
  Works hard_links = Works::unknown;
  Works renames = Works::unknown;  ///< over a file that is there
};

/// Whom this program believes where no project says otherwise, and what holds back the process that unpacks
/// bundles.
struct TrustReport {
  std::optional<SignaturePolicy> policy = {};  ///< none: KERNELS_SIGNATURES holds something else
  std::string policy_source = {};
  std::string root_sha256 = {};  ///< of the embedded trusted root, hex
  std::string root_date = {};    ///< the day on which it was last looked up
  bundle::Confinement confinement = {};
};

struct DoctorReport {
  machine::Detected machine;
  std::vector<HubSetting> hub;       ///< empty for another machine
  std::vector<RouteReport> routes;   ///< empty offline and for another machine
  std::optional<CacheReport> cache;  ///< none for another machine, or without settings
  std::optional<TrustReport> trust;  ///< none for another machine
  std::vector<Finding> findings;     ///< problems first

  /// No problem was found.
  bool good() const;
};

struct DoctorRequest {
  machine::SurveyRequest survey;
  /// An error is a finding, not a reason to say nothing. Not looked at for another machine.
  Result<hub::Settings> settings;
  std::string user_agent;
  /// Whose routes are tried; none: a repository that the Hub is known to have.
  std::optional<RepoId> repo;
};

/// Everything about a machine that decides whether kernels work, and what is wrong with it. This machine:
/// also the Hub, each route probed at the same time as the others and never twice, and the cache. Errors
/// interrupted; invalid_argument: the interpreter that was named does not exist. Cost    as
/// `machine::survey`, a few requests of at most ten seconds each, some small files in the cache.
Result<DoctorReport> examine(const DoctorRequest& request, const std::stop_token& stop);

/// What is wrong with a machine, of what was found out about it. Pure.
std::vector<Finding> machine_findings(const machine::Detected& machine);

}  // namespace kernels::ops
