#include "targets.h"

#include "kernels/ops/lock.h"

namespace kernels::app {

Result<std::vector<Target>> select_targets(const TargetFlags& flags, const Project* project, App& app) {
  static const Project none;
  const auto& from = project != nullptr ? *project : none;
  std::vector<Target> out;
  for (const auto& name : flags.names) {
    auto target = ops::find_target(from, name);
    if (!target) return kernels::fail(std::move(target).error());
    out.push_back(std::move(*target));
  }
  if (flags.all) {
    if (from.targets.empty())
      return kernels::fail(Error(Errc::invalid_argument, "the project has no targets")
                               .with_hint("describe machines in tables such as `[targets.prod]`"));
    for (const auto& [name, target] : from.targets)
      out.push_back(target);
  }
  if (out.empty()) out.push_back(app.machine().target);
  return out;
}

std::vector<Target> targets_of(const machine::Detected& machine) {
  const auto& capabilities = machine.target.capabilities;
  if (capabilities.size() < 2) return {machine.target};
  std::vector<Target> out;
  for (const auto& capability : capabilities) {
    auto& target = out.emplace_back(machine.target);
    target.capabilities = {capability};
    std::string gpus;
    std::string name;
    for (const auto& gpu : machine.gpus) {
      if (gpu.capability != capability) continue;
      gpus += (gpus.empty() ? "" : ", ") + std::to_string(gpu.index);
      name = gpu.name;
    }
    target.name += ", GPU " + gpus + (name.empty() ? "" : " (" + name + ")");
  }
  return out;
}

}  // namespace kernels::app
