#!/usr/bin/env bash
# Runs everything from a fresh checkout to a served style transfer, on the shipped
# portraits or on your own pictures, with a folder per artist:
#
#   bash tools/quickstart.sh
#   bash tools/quickstart.sh PICTURES_DIR [--image_size=64] [-- FLAGS OF tfstyle.train]
#
# Creates .venv, writes records, trains the four stages, evaluates them, draws figures,
# exports the models, and requests one style transfer from a local server. Takes about
# 15 minutes on two cores after installation; more with more pictures, or with an image
# size of 128 or 256. Run it again to resume after an interruption; completed steps are
# skipped. PYTHON sets the Python interpreter, PORT the port of the server (default
# 8501).
set -euo pipefail

fail() {
  echo "error: $*" >&2
  exit 1
}

called_from=$PWD
pictures=
image_size=
train_flags=()
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help)
      sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "$0"
      exit
      ;;
    --image_size=*) image_size=${1#*=} ;;
    --)
      shift
      train_flags=("$@")
      break
      ;;
    -*) fail "unknown flag $1 (see --help); flags of tfstyle.train follow --" ;;
    '') fail "the folder of pictures is empty text" ;;
    *)
      [ -z "$pictures" ] || fail "one folder of pictures is expected, got two or more"
      pictures=$1
      ;;
  esac
  shift
done
[ -n "$pictures" ] || [ -z "$image_size" ] ||
  fail "--image_size needs your own PICTURES_DIR; the shipped portraits have 64 pixels"

cd "$(dirname "$0")/.."
. tools/environment.sh

own=$pictures
if [ -n "$own" ]; then
  image_size=${image_size:-64}
  case $pictures in
    /*) ;;
    *) pictures=$called_from/$pictures ;;
  esac
  python=.venv/bin/python
  [ -x $python ] || python=$(find_python)
  name=$(PYTHONPATH=$PWD "$python" tools/quickstart.py name "$pictures" "$image_size")
else
  pictures=tests/pictures/portraits-64
  image_size=64
  name=portraits
fi
records=records/$name
run=runs/$name
export_dir=exports/$name
answer=$run/served_transfer.png
port=${PORT:-8501}

make_environment ""
if [ "$called_from" != "$PWD" ]; then
  say "the commands below run in $PWD"
fi

started=$SECONDS
timed() {
  local name=$1 begin=$SECONDS
  shift
  say "$name: $(printf '%q ' "$@")"
  "$@" || return
  echo "($name: $((SECONDS - begin)) s)"
}
python=.venv/bin/python

record_flags=()
if [ -n "$own" ]; then
  say "settings for $(printf %q "$pictures")"
  # Half the files of a private folder may be of other kinds; they are listed.
  flags=$($python tools/quickstart.py records "$pictures")
  record_flags=($flags --max_skipped_fraction=0.5)
fi
timed records $python tools/make_tfrecords.py --input_dir="$pictures" \
  --output_dir="$records" --image_size="$image_size" \
  ${record_flags[@]+"${record_flags[@]}"} || {
  [ ! -e "$records/dataset.json" ] ||
    echo "if the pictures have changed, start over:" \
      "rm -r $(printf '%q ' "$PWD/"{records,runs,exports}"/$name")" >&2
  exit 1
}
for stage in metric classifier vae gan; do
  finished=$run/$stage/FINISHED
  if [ -e "$finished" ] && [ ! gin/quickstart/$stage.gin -nt "$finished" ] &&
     [ ! "$records/dataset.json" -nt "$finished" ]; then
    say "$stage: already trained ($run/$stage)"
  else
    settings=()
    if [ -n "$own" ]; then
      flags=$($python tools/quickstart.py training "$records" $stage)
      settings=($flags)
    fi
    timed $stage $python -m tfstyle.train --gin_file=gin/quickstart/$stage.gin \
      --records_dir="$records" --run_dir="$run" \
      ${settings[@]+"${settings[@]}"} ${train_flags[@]+"${train_flags[@]}"}
  fi
done
newest_stage=$run/gan/FINISHED
for stage in metric classifier vae; do
  if [ "$run/$stage/FINISHED" -nt "$newest_stage" ]; then
    newest_stage=$run/$stage/FINISHED
  fi
done
if [ "$run/evaluation.json" -nt "$newest_stage" ]; then
  say "evaluation: already done ($run/evaluation.json)"
else
  timed evaluation $python -m tfstyle.evaluate --run_dir="$run"
fi
if [ "$run/report.html" -nt "$run/evaluation.json" ]; then
  say "figures: already drawn ($run/figures)"
else
  timed figures $python -m tfstyle.figures --run_dir="$run"
fi
if [ "$export_dir/export.json" -nt "$newest_stage" ]; then
  say "export: already written ($export_dir)"
else
  timed export $python -m tfstyle.export --run_dir="$run" --export_dir="$export_dir"
fi

content=$pictures/micah/00007.png
style=$pictures/lorelei/00003.png
if [ -n "$own" ]; then
  content=$run/content.png
  style=$run/style.png
  [ "$style" -nt "$newest_stage" ] ||
    $python tools/quickstart.py examples "$records" "$run"
fi
if [ "$answer" -nt "$export_dir/export.json" ]; then
  say "served picture: already requested ($answer)"
else
  say "requesting the content of $content in the style of $style from a local server"
  $python -m tfstyle.serve --export_dir="$export_dir" --rest_api_port="$port" \
    >"$run/server.log" 2>&1 &
  server=$!
  trap 'kill $server 2>/dev/null || true' EXIT
  until grep -qx ready "$run/server.log"; do
    if ! kill -0 $server 2>/dev/null; then
      tail -n 3 "$run/server.log" >&2
      exit 1
    fi
    sleep 0.5
  done
  $python -c "
import sys
from tfstyle.serving.client import Client
url, content, style, answer = sys.argv[1:]
Client(url).transfer_style(content, style).save(answer + '.tmp', 'PNG')
" "http://127.0.0.1:$port" "$content" "$style" "$answer"
  mv "$answer.tmp" "$answer"
  kill $server
  wait $server 2>/dev/null || true
  trap - EXIT
fi

if [ -z "$own" ]; then
  next="Do the same with your own pictures, in one folder per artist:
  bash tools/quickstart.sh PICTURES_DIR"
else
  next="Turn any picture into a style:
  .venv/bin/python -m tfstyle.transfer --run_dir=$run --content=$content --style=$style --output=$run/transferred.png --overwrite"
fi
cat <<TEXT

Done in $((SECONDS - started)) s. Results, in $PWD:
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
$next
TEXT
