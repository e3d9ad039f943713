#include "kernels/ops/doctor.h"

#include "commands.h"
#include "view_doctor.h"

namespace kernels::app {

namespace {

struct DoctorOptions {
  std::optional<std::string> sysroot;
  std::optional<std::string> python;
  std::optional<std::string> repo;
  bool json = false;
};

Result<ops::DoctorRequest> to_request(const DoctorOptions& options, App& app) {
  ops::DoctorRequest request{.survey = {.sysroot = {}, .environment = hub::process_environment()},
                             .settings = app.settings(),
                             .user_agent = app.user_agent(),
                             .repo = std::nullopt};
  if (options.sysroot) {
    auto sysroot = machine::Sysroot::at(*options.sysroot);
    if (!sysroot) return fail(std::move(sysroot).error().while_doing("reading `--sysroot`"));
    request.survey.sysroot = std::move(*sysroot);
  }
  if (options.python) request.survey.python = *options.python;
  if (options.repo) {
    auto repo = RepoId::parse(*options.repo);
    if (!repo) return fail(std::move(repo).error().while_doing("reading `--repo`"));
    request.repo = *repo;
  }
  return request;
}

ExitCode run_doctor(const DoctorOptions& options, App& app) {
  auto request = to_request(options, app);
  if (!request) return app.fail(request.error());
  auto report = ops::examine(*request, app.stop_token());
  if (!report) return app.fail(report.error());
  app.out().result(options.json ? doctor_json(*report) : doctor_text(*report));
  return report->good() ? ExitCode::ok : ExitCode::no;
}

}  // namespace

Command add_doctor(CLI::App& root) {
  auto options = std::make_shared<DoctorOptions>();
  auto* command = new_command(root, "doctor", "What this machine is, and what keeps kernels from working",
                              "  kernels doctor\n"
                              "  kernels doctor --offline --json\n"
                              "  kernels doctor --python ~/venv/bin/python --repo acme/attention\n"
                              "  kernels doctor --sysroot /mnt/image\n");
  command
      ->add_option("--sysroot", options->sysroot,
                   "Describe the machine whose root folder this is, by its files alone")
      ->type_name("DIR");
  command
      ->add_option("--python", options->python,
                   "The interpreter, or the folder of an environment, whose packages count")
      ->type_name("PATH");
  command->add_option("--repo", options->repo, "Try the routes of the Hub with this repository")
      ->type_name("REPO");
  command->add_flag("--json", options->json, "Print the result as JSON");
  return {command, [options](App& app) { return run_doctor(*options, app); }};
}

}  // namespace kernels::app
