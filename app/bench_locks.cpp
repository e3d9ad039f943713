#include "bench_locks.h"

#include <algorithm>

#include "kernels/base/file.h"

namespace kernels::app {

namespace {

class LockRun {
 public:
  LockRun(bench::BenchOptions options, App& app)
      : options_(std::move(options)), app_(app), before_(empty_results(options_, app)), after_(before_) {}

  Status measure(const ops::ChangedKernel& kernel, const Device& device) {
    options_.device = device.kind;
    options_.device_index = device.index;
    auto pairs = ops::version_pairs(kernel, options_);
    if (!pairs) return fail(std::move(pairs).error());
    for (std::size_t i = 0; i < pairs->size(); ++i) {
      const auto& pair = (*pairs)[i];
      auto progress = [&](const bench::BenchProgress& step) {
        app_.out().show_step(kernel.after.kernel + " function " + std::to_string(i + 1) + "/" +
                             std::to_string(pairs->size()) + "  " + step.what);
      };
      auto reports = bench::bench_contest(pair.contenders, options_, progress, app_.stop_token());
      if (!reports)
        return fail(std::move(reports).error().while_doing("measuring `" + kernel.after.kernel + "`"));
      for (std::size_t c = 0; c < reports->size(); ++c) {
        auto added =
            add_report(pair.is_new[c] ? after_ : before_, pair.is_new[c] ? kernel.after : kernel.before, {},
                       std::move((*reports)[c]), options_);
        if (!added) return added;
      }
      if (app_.stop_token().stop_requested()) return {};
    }
    return {};
  }

  bench::Results& before() { return before_; }
  bench::Results& after() { return after_; }
  const bench::BenchOptions& options() const { return options_; }

 private:
  bench::BenchOptions options_;
  App& app_;
  bench::Results before_;
  bench::Results after_;
};

}  // namespace

Result<std::optional<LockPair>> open_locks(const std::vector<std::string>& files) {
  std::vector<bool> is_lock;
  for (const auto& file : files) {
    auto text = read_file(file);
    if (!text) return fail(std::move(text).error());
    is_lock.push_back(ops::looks_like_lock(*text));
  }
  auto first = std::ranges::find(is_lock, true);
  if (first == is_lock.end()) return std::nullopt;
  const auto& name = files[static_cast<std::size_t>(first - is_lock.begin())];
  if (files.size() != 2)
    return fail(
        Error(Errc::invalid_argument, "`" + name + "` is a lock, which is compared with another one")
            .with_hint("give two, the old one first: `kernels bench --compare old.lock kernels.lock`"));
  if (is_lock[0] != is_lock[1])
    return fail(Error(Errc::invalid_argument, "`" + name + "` is a lock, and the other file is not")
                    .with_hint("compare two locks, or two files that `kernels bench --save` wrote"));
  auto before = ops::load_lock(files[0]);
  if (!before) return fail(std::move(before).error());
  auto after = ops::load_lock(files[1]);
  if (!after) return fail(std::move(after).error());
  return LockPair{.before = std::move(*before), .after = std::move(*after)};
}

Result<MeasuredLocks> measure_locks(const LockPair& locks, const Target& machine,
                                    const std::vector<Device>& devices, bench::BenchOptions options,
                                    App& app) {
  auto settings = app.settings();
  if (!settings) return fail(std::move(settings).error());
  cache::Layout layout(settings->cache, settings->state);
  auto changes = ops::compare_locks(layout, locks.before, locks.after, machine, app.stop_token());
  if (!changes) return fail(std::move(changes).error());
  LockRun run(std::move(options), app);
  for (const auto& kernel : changes->changed)
    for (const auto& device : devices)
      if (!app.stop_token().stop_requested())
        if (auto done = run.measure(kernel, device); !done) return fail(std::move(done).error());
  auto added = measure_targets(changes->added, devices, run.options(), app);
  if (!added) return fail(std::move(added).error());
  append(run.after(), std::move(*added));
  return MeasuredLocks{
      .changes = std::move(*changes), .before = std::move(run.before()), .after = std::move(run.after())};
}

}  // namespace kernels::app
