case $2 in
1) exit 3 ;;
2) while :; do read -r _ < /dev/zero; done ;;
3) loss=NaN ;;
4) loss= ;;
*) loss=$2 ;;
esac
if [ "$loss" ]; then echo "{\"loss\": $loss}" > m.json; else echo '{}' > m.json; fi
echo "$2" > model.txt
