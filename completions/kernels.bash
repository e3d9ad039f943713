# bash completion for kernels
_kernels() {
  local word words='' options i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    case "${words:+$words }$word" in
      'lock'|'download'|'check'|'versions'|'variants'|'info'|'inspect'|'doctor'|'verify-signature'|'verify-blob'|'import'|'serve'|'bundle'|'bundle ls'|'bundle verify'|'bench'|'benchmark'|'cache'|'cache path'|'cache ls'|'cache verify'|'cache prune'|'completion') words="${words:+$words }$word" ;;
    esac
  done
  case "$words" in
    '') options='lock download check versions variants info inspect doctor verify-signature verify-blob import serve bundle bench benchmark cache completion --version --help --quiet --verbose --offline --cache --endpoint' ;;
    'lock') options='--help --check --dry-run --upgrade --target --all-targets --lock-format --json --quiet --verbose --offline --cache --endpoint' ;;
    'download') options='--help --all-variants --variant --target --all-targets --signatures --trusted-root --dry-run --bundle --jobs --json --quiet --verbose --offline --cache --endpoint' ;;
    'check') options='--help --version --revision --target --all-targets --mode --signatures --trusted-root --fail-on-fallback --rehash --explain --matrix --format --json --quiet --verbose --offline --cache --endpoint' ;;
    'versions') options='--help --target --json --quiet --verbose --offline --cache --endpoint' ;;
    'variants') options='--help --version --revision --all-versions --target --only-compatible --explain --matrix --format --json --quiet --verbose --offline --cache --endpoint' ;;
    'info') options='--help --version --revision --json --quiet --verbose --offline --cache --endpoint' ;;
    'inspect') options='--help --version --revision --all-variants --variant --target --functions --json --quiet --verbose --offline --cache --endpoint' ;;
    'doctor') options='--help --sysroot --python --repo --json --quiet --verbose --offline --cache --endpoint' ;;
    'verify-signature') options='--help --all-variants --target --filter-unsigned --filter-no-digest --trusted-root --json --quiet --verbose --offline --cache --endpoint' ;;
    'verify-blob') options='--help --bundle --certificate-identity --certificate-oidc-issuer --trusted-root --json --quiet --verbose --offline --cache --endpoint' ;;
    'import') options='--help --repo-id --version --revision --signatures --trusted-root --json --quiet --verbose --offline --cache --endpoint' ;;
    'serve') options='--help --host --port --trusted-publisher --token-file --port-file --redirects --quiet --verbose --offline --cache --endpoint' ;;
    'bundle') options='ls verify --help --quiet --verbose --offline --cache --endpoint' ;;
    'bundle ls') options='--help --json --files --quiet --verbose --offline --cache --endpoint' ;;
    'bundle verify') options='--help --json --quiet --verbose --offline --cache --endpoint' ;;
    'bench') options='--help --device --workload --layer --function --dtype --validate-only --select --version --revision --branch --python --iterations --warmup --visual --rasterized --seed --precision --budget --time-limit --tvm-ffi --torch-lib --compare --fail-on-regression --threshold --despite-differences --merge --save --output --report --markdown --junit --json --quiet --verbose --offline --cache --endpoint' ;;
    'benchmark') options='--help --device --workload --layer --function --dtype --validate-only --select --version --revision --branch --python --iterations --warmup --visual --rasterized --seed --precision --budget --time-limit --tvm-ffi --torch-lib --compare --fail-on-regression --threshold --despite-differences --merge --save --output --report --markdown --junit --json --quiet --verbose --offline --cache --endpoint' ;;
    'cache') options='path ls verify prune --help --quiet --verbose --offline --cache --endpoint' ;;
    'cache path') options='--help --quiet --verbose --offline --cache --endpoint' ;;
    'cache ls') options='--help --json --quiet --verbose --offline --cache --endpoint' ;;
    'cache verify') options='--help --repair --json --quiet --verbose --offline --cache --endpoint' ;;
    'cache prune') options='--help --days --dry-run --json --quiet --verbose --offline --cache --endpoint' ;;
    'completion') options='--help --quiet --verbose --offline --cache --endpoint bash zsh fish' ;;
  esac
  COMPREPLY=($(compgen -W "$options" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _kernels kernels
