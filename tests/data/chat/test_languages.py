"""Six languages, of which three are written without blanks: what is alike folds, what is not stays, and lengths mean something."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from studio.data.chat.rows import ChatRow, comparable_text
from studio.data.chat.split import SplitPlan, divide
from studio.data.chat.steps.base import Drop
from studio.data.chat.steps.duplicates import NearDuplicates
from studio.data.chat.steps.language import Language
from studio.data.chat.steps.length import Length, Outliers
from studio.data.similarity import Shingler, Shingling, count_words, jaccard
from tests.data.made_rows import pair

# Of each language eight questions and answers of a library, written for this test.
ROWS = {
    "zh": [
        ("图书馆几点开门？", "周一到周五早上九点开门，晚上八点关门，周末只开到下午四点，法定节假日全天不开放，请提前看门口的通知。"),
        ("一次最多能借几本书？", "成人读者一次最多可以借十本书，儿童读者可以借六本，其中画册和光盘加起来不能超过三件，逾期未还的不能再借。"),
        ("书丢了怎么办？", "请先到服务台登记，然后买一本相同版本的新书赔给我们，如果已经买不到，就按照原来的价格再加上五块钱的加工费赔偿。"),
        ("可以带咖啡进阅览室吗？", "带盖子的水杯可以带进来，咖啡、奶茶和吃的东西请放在门口的储物柜里，因为弄脏一页旧报纸就再也修不好了。"),
        ("怎么办借书证？", "带上身份证和一张最近的照片到一楼柜台填表，工作人员当场把卡做好，第一张卡免费，补办一张收二十元工本费。"),
        ("你们有外文小说吗？", "有，在三楼东边靠窗的书架上，按照作者的姓排列，英语和法语的最多，德语和西班牙语的每个月会新到几本。"),
        ("电脑要预约吗？", "不用预约，刷卡就能用，每个人每天两个小时，人多的时候请把座位让给正在排队的读者，打印另外按页收费。"),
        ("雨天可以把伞放哪里？", "门口右手边有一排伞架，投一枚硬币就能锁上，取伞时硬币会退回来，闭馆以后留下的伞统一交给保安室保管。"),
    ],
    "ja": [
        ("図書館は何時に開きますか。", "平日は朝九時に開き、夜八時に閉まります。週末は午後四時までで、祝日は休館ですので入口の掲示をご覧ください。"),
        ("本は一度に何冊まで借りられますか。", "大人は十冊、子どもは六冊まで借りられます。画集と光ディスクは合わせて三点までで、延滞中は新しく借りられません。"),
        ("本をなくしたらどうすればいいですか。", "まず窓口に届け出て、同じ版の新しい本を買って返してください。手に入らないときは元の値段と手数料をいただきます。"),
        ("閲覧室にコーヒーを持ち込めますか。", "ふたの付いた水筒は持ち込めますが、コーヒーや食べ物は入口のロッカーに入れてください。古い新聞は一度汚れると直せません。"),
        ("貸出カードはどう作りますか。", "身分証明書と最近の写真を持って一階のカウンターで申し込んでください。最初の一枚は無料で、再発行には二百円かかります。"),
        ("外国語の小説はありますか。", "三階の東側の窓際にあり、著者の名字の順に並んでいます。英語とフランス語が多く、ほかの言葉の本も毎月少しずつ増えます。"),
        ("パソコンは予約が必要ですか。", "予約はいりません。カードをかざせば一人一日二時間使えますが、混んでいるときは並んでいる方に席をお譲りください。"),
        ("雨の日の傘はどこに置けますか。", "入口の右側に傘立てがあり、硬貨を入れると鍵がかかります。硬貨は後で戻り、閉館後に残った傘は警備室で預かります。"),
    ],
    "th": [
        ("ห้องสมุดเปิดกี่โมง", "วันจันทร์ถึงวันศุกร์เปิดเก้าโมงเช้าและปิดสองทุ่ม วันเสาร์อาทิตย์เปิดถึงสี่โมงเย็น ส่วนวันหยุดราชการปิดทั้งวัน"),
        ("ยืมหนังสือได้ครั้งละกี่เล่ม", "ผู้ใหญ่ยืมได้ครั้งละสิบเล่ม เด็กยืมได้หกเล่ม แผ่นภาพยนตร์รวมกันไม่เกินสามแผ่น ถ้าคืนช้าจะยืมเพิ่มไม่ได้"),
        ("ถ้าทำหนังสือหายต้องทำอย่างไร", "กรุณาแจ้งที่เคาน์เตอร์ก่อน แล้วซื้อหนังสือเล่มใหม่ที่เหมือนกันมาคืน หากหาซื้อไม่ได้ต้องจ่ายตามราคาเดิมบวกค่าดำเนินการ"),
        ("นำกาแฟเข้าห้องอ่านหนังสือได้ไหม", "ขวดน้ำที่มีฝาปิดนำเข้าได้ แต่กาแฟและอาหารให้ฝากไว้ในตู้หน้าประตู เพราะหนังสือพิมพ์เก่าที่เปื้อนแล้วซ่อมไม่ได้"),
        ("ทำบัตรสมาชิกอย่างไร", "นำบัตรประชาชนและรูปถ่ายล่าสุดมากรอกแบบฟอร์มที่ชั้นหนึ่ง รอรับบัตรได้ทันที ใบแรกไม่เสียเงิน ใบใหม่คิดยี่สิบบาท"),
        ("มีนวนิยายภาษาต่างประเทศไหม", "มีอยู่ที่ชั้นสามฝั่งตะวันออกริมหน้าต่าง เรียงตามนามสกุลผู้แต่ง ภาษาอังกฤษกับฝรั่งเศสมีมากที่สุดและมีเล่มใหม่ทุกเดือน"),
        ("ต้องจองคอมพิวเตอร์ไหม", "ไม่ต้องจอง แตะบัตรแล้วใช้ได้คนละสองชั่วโมงต่อวัน เวลาคนเยอะขอให้แบ่งที่นั่งให้ผู้ที่รออยู่ ค่าพิมพ์คิดตามจำนวนหน้า"),
        ("วันฝนตกวางร่มไว้ที่ไหน", "ทางขวาของประตูมีที่วางร่ม หยอดเหรียญแล้วล็อกได้ ตอนรับร่มจะได้เหรียญคืน ร่มที่ลืมไว้หลังปิดจะเก็บที่ห้องยาม"),
    ],
    "ko": [
        ("도서관은 몇 시에 문을 여나요?", "평일에는 아침 아홉 시에 열고 저녁 여덟 시에 닫습니다. 주말에는 오후 네 시까지만 열고 공휴일에는 하루 종일 쉽니다."),
        ("책은 한 번에 몇 권까지 빌릴 수 있나요?", "어른은 열 권, 어린이는 여섯 권까지 빌릴 수 있습니다. 화집과 영상 자료는 합쳐서 세 점까지이며 연체 중에는 빌릴 수 없습니다."),
        ("책을 잃어버리면 어떻게 하나요?", "먼저 안내대에 알리고 같은 판의 새 책을 사서 돌려주세요. 구할 수 없으면 원래 가격에 수수료를 더해 물어내야 합니다."),
        ("열람실에 커피를 가져가도 되나요?", "뚜껑이 있는 물병은 괜찮지만 커피와 음식은 입구의 보관함에 넣어 주세요. 오래된 신문은 한번 더러워지면 고칠 수 없습니다."),
        ("대출증은 어떻게 만드나요?", "신분증과 최근 사진을 가지고 일 층 창구에서 신청서를 쓰면 바로 만들어 드립니다. 첫 카드는 무료이고 재발급은 이천 원입니다."),
        ("외국어 소설도 있나요?", "삼 층 동쪽 창가 책장에 지은이의 성 순서로 꽂혀 있습니다. 영어와 프랑스어가 가장 많고 다른 언어도 달마다 조금씩 들어옵니다."),
        ("컴퓨터를 쓰려면 예약해야 하나요?", "예약은 필요 없고 카드를 대면 한 사람이 하루 두 시간 쓸 수 있습니다. 붐빌 때는 기다리는 분에게 자리를 양보해 주세요."),
        ("비 오는 날 우산은 어디에 두나요?", "입구 오른쪽에 우산꽂이가 있고 동전을 넣으면 잠깁니다. 동전은 나중에 돌려받으며 남은 우산은 경비실에서 맡아 둡니다."),
    ],
    "ar": [
        ("متى تفتح المكتبة أبوابها؟", "تفتح من الاثنين إلى الجمعة في التاسعة صباحا وتغلق في الثامنة مساء، وفي نهاية الأسبوع حتى الرابعة عصرا فقط."),
        ("كم كتابا يمكنني أن أستعير في المرة الواحدة؟", "يستعير الكبار عشرة كتب والأطفال ستة، ولا يزيد مجموع الأقراص على ثلاثة، ومن تأخر في الإعادة لا يستعير من جديد."),
        ("ماذا أفعل إذا ضاع الكتاب؟", "أخبر موظف الاستقبال أولا ثم اشتر نسخة جديدة من الطبعة نفسها، وإن لم تجدها فادفع الثمن الأصلي مع رسوم التجليد."),
        ("هل يمكنني إدخال القهوة إلى قاعة القراءة؟", "قارورة الماء المغلقة مسموحة، أما القهوة والطعام فضعها في الخزانة عند المدخل لأن الصحف القديمة لا تصلح إذا اتسخت."),
        ("كيف أحصل على بطاقة الاستعارة؟", "أحضر بطاقة الهوية وصورة حديثة واملأ الاستمارة في الطابق الأول، وتصدر البطاقة الأولى مجانا والبديلة بمبلغ صغير."),
        ("هل عندكم روايات بلغات أجنبية؟", "نعم، في الطابق الثالث قرب النوافذ الشرقية مرتبة بحسب اسم المؤلف، وأكثرها بالإنجليزية والفرنسية وتصل كتب جديدة كل شهر."),
        ("هل يجب حجز الحاسوب مسبقا؟", "لا حاجة إلى الحجز، ضع بطاقتك على القارئ واستعمله ساعتين في اليوم، وعند الازدحام اترك المقعد لمن ينتظر دوره."),
        ("أين أضع المظلة في يوم ماطر؟", "على يمين المدخل حامل للمظلات يقفل بقطعة نقدية تستعيدها عند الخروج، وما ينسى بعد الإغلاق يحفظ في غرفة الحارس."),
    ],
    "hi": [
        ("पुस्तकालय कितने बजे खुलता है?", "सोमवार से शुक्रवार तक सुबह नौ बजे खुलता है और रात आठ बजे बंद होता है, शनिवार और रविवार को केवल शाम चार बजे तक खुला रहता है।"),
        ("एक बार में कितनी किताबें ले सकते हैं?", "बड़े लोग दस और बच्चे छह किताबें ले सकते हैं, फिल्मों की डिस्क कुल तीन से अधिक नहीं, और देर होने पर नई किताब नहीं मिलती है।"),
        ("किताब खो जाए तो क्या करना चाहिए?", "पहले काउंटर पर बताइए, फिर उसी संस्करण की नई किताब खरीदकर दीजिए, और न मिले तो असली कीमत के साथ जिल्द का खर्च देना होगा।"),
        ("क्या वाचनालय में कॉफी ला सकते हैं?", "ढक्कन वाली पानी की बोतल ला सकते हैं, लेकिन कॉफी और खाना दरवाजे के पास अलमारी में रखिए क्योंकि पुराने अखबार फिर साफ नहीं होते।"),
        ("सदस्यता कार्ड कैसे बनता है?", "पहचान पत्र और नई तस्वीर लेकर पहली मंजिल पर फॉर्म भरिए, कार्ड तुरंत बन जाता है, पहला कार्ड मुफ्त है और दूसरा बीस रुपये का है।"),
        ("क्या आपके यहाँ विदेशी भाषा के उपन्यास हैं?", "हाँ, तीसरी मंजिल पर पूरब की खिड़कियों के पास लेखक के नाम के क्रम से रखे हैं, अंग्रेजी और फ्रेंच के सबसे अधिक हैं।"),
        ("क्या कंप्यूटर के लिए पहले से समय लेना पड़ता है?", "नहीं, कार्ड लगाकर हर व्यक्ति दिन में दो घंटे चला सकता है, भीड़ होने पर कृपया अपनी जगह इंतजार करने वालों को दे दीजिए।"),
        ("बारिश के दिन छाता कहाँ रखें?", "दरवाजे के दाईं ओर छाते रखने की जगह है जिसमें सिक्का डालने से ताला लगता है, और बाहर जाते समय सिक्का वापस मिल जाता है।"),
    ],
}  # fmt: skip
# One character less at one place, other signs of punctuation, or blanks: what copies of a row really differ in.
SIGNS = str.maketrans({"，": ",", "。": ".", "？": "?", "、": ",", "،": ",", "؟": "?", "।": "."})


def rows_of(language: str) -> list[ChatRow]:
    return [pair(f"{language}{number}", *texts) for number, texts in enumerate(ROWS[language])]


def copies_of(language: str) -> list[ChatRow]:
    """The same rows with other punctuation and a sign less at the end of the answer."""
    texts = [(question.translate(SIGNS), answer.translate(SIGNS).rstrip(".")[:-1]) for question, answer in ROWS[language]]
    return [pair(f"{language}{number}copy", *both) for number, both in enumerate(texts)]


@pytest.mark.parametrize("language", ROWS)
def test_rows_equal_but_for_a_few_signs_fold_and_others_stay(language: str) -> None:
    rows, copies = rows_of(language), copies_of(language)
    verdicts = NearDuplicates(threshold=0.8).judge_all([*rows, *copies])
    assert verdicts[: len(rows)] == rows, "different rows stay"
    gone = [verdict.matched for verdict in verdicts[len(rows) :] if isinstance(verdict, Drop)]
    assert gone == [row.id for row in rows], "every copy goes, and names its original"


def test_splits_of_six_languages_leak_nothing() -> None:
    rows = [row for language in ROWS for row in [*rows_of(language), *copies_of(language)]]
    division = divide(rows, SplitPlan(validation=12, test=24))
    where = {row.id: name for name, part in division.splits.items() for row in part}
    assert all(where[f"{row.id}copy"] == where[row.id] for language in ROWS for row in rows_of(language))
    shingler = Shingler(Shingling("word", 3))
    cut = [(name, shingler(comparable_text(row))) for name, part in division.splits.items() for row in part]
    assert not [1 for (one, a), (other, b) in itertools.combinations(cut, 2) if one != other and jaccard(a, b) >= 0.6]
    assert len(division.splits["test"]) >= 20 and len(division.splits["validation"]) >= 10, "and the splits are filled"


@pytest.mark.parametrize("language", ROWS)
def test_the_language_step_keeps_its_own_and_drops_the_others(language: str) -> None:
    step = Language([language])
    assert [row.id for row in rows_of(language) if isinstance(step.judge(row), Drop)] == []
    others = [row for other in ROWS if other != language for row in rows_of(other)]
    assert [row.id for row in others if not isinstance(step.judge(row), Drop)] == []


@pytest.mark.parametrize(
    ("allowed", "question", "answer"),
    [
        ("zh", "你好", "你好，请问有什么可以帮您？"),
        ("zh", "發票可以補開嗎？", "可以，請在三十天之內帶收據到櫃檯。"),
        ("zh", "可以", "好"),
        ("zh", "怎么训练？", "运行 studio train chat/lora --data my-bot"),
        ("ja", "冷蔵庫", "屋根"),
        ("ja", "東京都庁", "新宿区"),
        ("ar", "العزل", "نعم"),
        ("hi", "मोबाइल", "क्या मुझे अनुमति चाहिए?"),
    ],
)
def test_short_rows_stay_in_their_language(allowed: str, question: str, answer: str) -> None:
    row = pair("short", question, answer)
    assert Language([allowed]).judge(row) is row


def test_kinds_of_one_language_are_counted_together() -> None:
    """Each of Mandarin, Cantonese and Wu is under one half; together they are surely no English."""
    row = pair("short", "几点开门？需要多少内存？", "退货要几天？")
    verdict = Language(["en"], 0.9).judge(row)
    assert isinstance(verdict, Drop) and verdict.value.startswith("zh (")
    cantonese = pair("yue", "你今日食咗飯未呀？", "我哋啱啱食完，而家喺屋企睇緊電視。")
    assert Language(["zh"]).judge(cantonese) is cantonese and Language(["yue"]).judge(cantonese) is cantonese
    assert isinstance(Language(["yue"]).judge(rows_of("zh")[0]), Drop), "who names one member gets that one"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("图书馆几点开门？", 7),
        ("用 studio train 开始训练。", 7),
        ("本は何冊？", 4),
        ("กาแฟ", 4),
        ("ที่นี่", 2),
        ("도서관은 몇 시에 여나요?", 4),
        ("पूर्व दिशा में", 3),
        ("an en - dash", 4),
    ],
)
def test_words_are_counted_where_no_blanks_are(text: str, words: int) -> None:
    assert count_words(text) == words


@pytest.mark.parametrize("language", ROWS)
def test_limits_of_length_mean_the_same_in_every_script(language: str, tiny_base: Path) -> None:
    from studio.data.chat.tokens import open_counter

    rows = rows_of(language)
    assert Length(unit="words", of="answer", min=12).judge_all(rows) == rows, "an answer of 20 words is no single word"
    assert all(isinstance(verdict, Drop) for verdict in Length(unit="words", of="answer", max=5).judge_all(rows))
    answer = rows[0].messages[1]["content"]
    (verdict,) = Length(unit="characters", of="answer", max=len(answer) - 1).judge_all(rows[:1])
    assert isinstance(verdict, Drop) and verdict.value == f"{len(answer)} characters"
    long = pair("long", "?", answer * 12)
    verdicts = Outliers(unit="words", method="iqr").judge_all([*rows, long])
    assert isinstance(verdicts[-1], Drop) and verdicts[-1].reason == "unusually long"
    limit = Length(max=10, of="answer", model="tiny", counter=lambda: open_counter(str(tiny_base)))
    assert all(isinstance(verdict, Drop) and verdict.value.endswith("tokens") for verdict in limit.judge_all(rows))
