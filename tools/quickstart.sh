#!/usr/bin/env bash
# Runs everything from a fresh checkout to a served style transfer, on the shipped
# portraits:
#
#   bash tools/quickstart.sh
#
# Creates .venv, writes records, trains the four stages, evaluates them, draws figures,
# exports the models, and requests one style transfer from a local server. Takes about
# 15 minutes on two cores after installation. Run it again to resume after an
# interruption; completed steps are skipped. PYTHON sets the Python interpreter, PORT
# the port of the server (default 8501).
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/environment.sh

pictures=tests/pictures/portraits-64
records=records/portraits
run=runs/portraits
export_dir=exports/portraits
answer=$run/served_transfer.png
port=${PORT:-8501}

make_environment ""

started=$SECONDS
timed() {
  local name=$1 begin=$SECONDS
  shift
  say "$name: $*"
  "$@"
  echo "($name: $((SECONDS - begin)) s)"
}

timed records python tools/make_tfrecords.py --input_dir=$pictures \
  --output_dir=$records --image_size=64
for stage in metric classifier vae gan; do
  if [ -e $run/$stage/FINISHED ] &&
     [ ! gin/quickstart/$stage.gin -nt $run/$stage/FINISHED ]; then
    say "$stage: already trained ($run/$stage)"
  else
    timed $stage python -m tfstyle.train --gin_file=gin/quickstart/$stage.gin \
      --records_dir=$records --run_dir=$run
  fi
done
newest_stage=$run/gan/FINISHED
for stage in metric classifier vae; do
  if [ $run/$stage/FINISHED -nt $newest_stage ]; then
    newest_stage=$run/$stage/FINISHED
  fi
done
if [ $run/evaluation.json -nt $newest_stage ]; then
  say "evaluation: already done ($run/evaluation.json)"
else
  timed evaluation python -m tfstyle.evaluate --run_dir=$run
fi
if [ $run/report.html -nt $run/evaluation.json ]; then
  say "figures: already drawn ($run/figures)"
else
  timed figures python -m tfstyle.figures --run_dir=$run
fi
if [ $export_dir/export.json -nt $newest_stage ]; then
  say "export: already written ($export_dir)"
else
  timed export python -m tfstyle.export --run_dir=$run --export_dir=$export_dir
fi

content=$pictures/micah/00007.png
style=$pictures/lorelei/00003.png
if [ $answer -nt $export_dir/export.json ]; then
  say "served picture: already requested ($answer)"
else
  say "requesting the content of $content in the style of $style from a local server"
  python -m tfstyle.serve --export_dir=$export_dir --rest_api_port="$port" \
    >$run/server.log 2>&1 &
  server=$!
  trap 'kill $server 2>/dev/null || true' EXIT
  until grep -qx ready $run/server.log; do
    if ! kill -0 $server 2>/dev/null; then
      tail -n 3 $run/server.log >&2
      exit 1
    fi
    sleep 0.5
  done
  python -c "
import sys
from tfstyle.serving.client import Client
url, content, style, answer = sys.argv[1:]
Client(url).transfer_style(content, style).save(answer + '.tmp', 'PNG')
" "http://127.0.0.1:$port" $content $style $answer
  mv $answer.tmp $answer
  kill $server
  wait $server 2>/dev/null || true
  trap - EXIT
fi

cat <<TEXT

Done in $((SECONDS - started)) s. Results:
  report          $run/report.html
  sample grids    $run/gan/previews/  and  $run/figures/
  served picture  $answer
  curves          .venv/bin/tensorboard --logdir=$run
Start the server:
  .venv/bin/python -m tfstyle.serve --export_dir=$export_dir
Send a request from another terminal:
  printf '{"instances": [{"content_bytes": {"b64": "%s"}, "style_bytes": {"b64": "%s"}}]}' \\
    "\$(base64 <$content | tr -d '\\n')" \\
    "\$(base64 <$style | tr -d '\\n')" |
  curl -s --data-binary @- http://127.0.0.1:8501/v1/models/style_transfer:predict |
  .venv/bin/python -c 'import base64, json, sys; sys.stdout.buffer.write(base64.b64decode(json.load(sys.stdin)["predictions"][0]["b64"]))' >transfer.png
To use your own pictures (one folder per artist), see README.md.
TEXT
